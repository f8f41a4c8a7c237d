"""What the api waits for before it listens: `scaisend migrate` and `scaisend declare`, but not a server that is away.

Without Postgres or the broker it answers 503, and tells with /ready; what it must not do is work on a schema that lacks its functions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from scaisend_common.plumbing.amqp import Unavailable
from scaisend_common.plumbing.amqp.check import check_declared
from scaisend_common.plumbing.postgres import DatabaseAway, Pool
from scaisend_common.schema.migrate import wait_for_schema
from scaisend_common.schema.store import read_version

PAUSE = 1.0  # seconds
log = structlog.get_logger()


async def wait_for_migration(pool: Pool) -> None:
    """Return when the schema is this release's, or cannot be looked at."""
    try:
        await read_version(pool)
    except DatabaseAway as away:
        log.warning("starting_without_database", why=str(away))
        return
    await wait_for_schema(pool)


async def wait_for_queues(amqp_url: str, queues: Sequence[str]) -> None:
    """Return when the queues are declared, or cannot be looked for."""
    try:
        while missing := await check_declared(amqp_url, queues, name="api-check"):
            log.warning("waiting_for_queues", missing=len(missing), why="run `scaisend declare`")
            await asyncio.sleep(PAUSE)
    except (Unavailable, OSError) as away:
        log.warning("starting_without_broker", why=str(away))
