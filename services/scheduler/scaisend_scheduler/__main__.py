"""The scheduler: routes submissions, keeps what waits, records events, keeps the house; `SCAISEND_ROLES` says which of these.

RECEIVES  route: `submit.<stream>.<lane>` (SubmissionBatch); later: `later` (LaterBatch); record: `record.<lane>` (EventBatch)
WRITES    later: later; record: events, messages, stats_daily, suppressions, stops (ledger); upkeep: partitions, stops (ledger)
PUBLISHES route: jobs to `mail.deliver` and `mail.later`, processed and dropped events; later: jobs to `mail.deliver`
FAILS     Postgres away: submissions and events wait in the broker, what waits in later waits longer. Ledger away: only events that
          suppress somebody wait. Broker away: reconnects. Killed: what was not acked comes again, and what follows from it is marked as a
          repeat.
"""

from __future__ import annotations

from datetime import timedelta

from scaisend_common.plumbing.amqp import Publisher
from scaisend_common.plumbing.dns import Resolver
from scaisend_common.plumbing.postgres import open_pool
from scaisend_common.plumbing.redis import connect
from scaisend_common.plumbing.service import Readiness, main, run
from scaisend_common.plumbing.settings import load
from scaisend_common.schema.migrate import wait_for_schema
from scaisend_common.topology import Topology
from scaisend_scheduler.roles import ROLES, Parts
from scaisend_scheduler.routing import Egress
from scaisend_scheduler.settings import Settings
from scaisend_scheduler.sites import Sites

NAME = "scheduler"


async def serve(settings: Settings) -> None:
    """Open the resources, build the roles, run until told to stop."""
    async with (
        open_pool(settings.postgres_dsn, name=NAME, statement_cache=settings.postgres_statement_cache) as pool,
        Publisher(settings.amqp_url, name=NAME) as publisher,
        connect(settings.ledger_url, name=NAME) as ledger,
    ):
        topology = Topology(shards=settings.shards, submit_lanes=settings.submit_lanes, event_lanes=settings.event_lanes)
        parts = Parts(settings, pool, publisher, ledger, Sites(Resolver(settings.dns)), Egress(settings.group, settings.source, topology))
        roles = [ROLES[name](parts) for name in settings.roles]
        await run(
            NAME,
            [loop for role in roles for loop in role.loops],
            health_host=settings.health_host,
            health_port=settings.health_port,
            checks={
                "broker": lambda: Readiness.READY if publisher.is_ready else Readiness.NOT_READY,
                "postgres": lambda: Readiness.READY if pool.is_ready else Readiness.NOT_READY,
                **{name: check for role in roles for name, check in role.checks.items()},
            },
            grace=timedelta(seconds=settings.grace_seconds),
            first=[lambda: wait_for_schema(pool)],
        )


if __name__ == "__main__":
    main(NAME, load(Settings), serve)
