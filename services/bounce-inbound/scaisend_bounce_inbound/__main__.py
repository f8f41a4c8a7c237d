"""bounce-inbound: receives what comes back, bounces (DSN) and complaints (ARF), and turns it into events.

RECEIVES  SMTP on its port, for return paths that carry our token, and for postmaster, abuse and fbl
WRITES    role_mail (mail to postmaster and abuse that is no report); reads tenants and messages
PUBLISHES `events` (BounceEvent, SpamReportEvent)
FAILS     Broker or Postgres away: 451, the remote server keeps the mail. Killed before the confirm: the remote saw no 250 and sends again,
          the event has the same id. It never sends a mail itself.
STANDARDS RFC 5321, RFC 3464, RFC 6533, RFC 5965, RFC 3834
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from scaisend_bounce_inbound.intake import Intake, NotRecordedYet
from scaisend_bounce_inbound.server import Door, Inbound
from scaisend_bounce_inbound.settings import Settings
from scaisend_common.mail.verp import Expired, Forged, ReturnPath, read_return_path
from scaisend_common.plumbing.amqp import Publisher, Refused, Unavailable, Unroutable
from scaisend_common.plumbing.postgres import DatabaseAway, open_pool
from scaisend_common.plumbing.service import Loop, Readiness, main, run
from scaisend_common.plumbing.settings import load
from scaisend_common.schema.migrate import wait_for_schema
from scaisend_common.topology import Topology

NAME = "bounce-inbound"
OUTAGES = (DatabaseAway, Unavailable, Refused, Unroutable, NotRecordedYet)


async def serve(settings: Settings) -> None:
    """Open the resources, wire the loops, run until told to stop."""

    def read(local_part: str) -> ReturnPath | Forged | Expired:
        return read_return_path(local_part, settings.token_secret, datetime.now(UTC))

    async with (
        open_pool(settings.postgres_dsn, name=NAME, statement_cache=settings.postgres_statement_cache) as pool,
        Publisher(settings.amqp_url, name=NAME) as publisher,
    ):
        topology = Topology(settings.shards, settings.submit_lanes, settings.event_lanes)
        intake = Intake(pool, publisher, topology, read_local_part=read)
        door = Door(
            Inbound(read_local_part=read, take=intake.take, outages=OUTAGES),
            host=settings.inbound_host,
            port=settings.inbound_port,
            name=settings.inbound_name,
            most=settings.inbound_connections,
            most_per_ip=settings.inbound_connections_per_ip,
        )
        await run(
            NAME,
            [Loop("smtp", door.run, door.stop)],
            health_host=settings.health_host,
            health_port=settings.health_port,
            checks={
                "smtp": lambda: Readiness.READY if door.is_open else Readiness.NOT_READY,
                "broker": lambda: Readiness.READY if publisher.is_ready else Readiness.DEGRADED,
                "postgres": lambda: Readiness.READY if pool.is_ready else Readiness.DEGRADED,
            },
            grace=timedelta(seconds=settings.grace_seconds),
            first=[lambda: wait_for_schema(pool)],
        )


if __name__ == "__main__":
    main(NAME, load(Settings), serve)
