"""The deliverer as a process; what it receives, writes and publishes, and how it fails, is told in the package's docstring."""

from __future__ import annotations

from datetime import timedelta

from scaisend_common.plumbing.amqp import Publisher
from scaisend_common.plumbing.postgres import open_pool
from scaisend_common.plumbing.redis import connect
from scaisend_common.plumbing.service import main, run
from scaisend_common.plumbing.settings import load
from scaisend_common.schema.migrate import wait_for_schema
from scaisend_deliverer.settings import Settings
from scaisend_deliverer.wiring import NAME, wire


async def serve(settings: Settings) -> None:
    """Open the resources, wire the parts, run until told to stop."""
    async with (
        open_pool(settings.postgres_dsn, name=NAME, statement_cache=settings.postgres_statement_cache) as pool,
        connect(settings.ledger_url, name=NAME) as ledger,
        connect(settings.redis_url, name=NAME) as redis,
        Publisher(settings.amqp_url, name=NAME) as publisher,
    ):
        parts = wire(settings, pool, ledger, redis, publisher)
        async with parts.exclusive:
            await run(
                NAME,
                parts.loops,
                health_host=settings.health_host,
                health_port=settings.health_port,
                checks=parts.checks,
                grace=timedelta(seconds=settings.grace_seconds),
                first=[lambda: wait_for_schema(pool), parts.ledger.refresh],
            )


if __name__ == "__main__":
    main(NAME, load(Settings), serve)
