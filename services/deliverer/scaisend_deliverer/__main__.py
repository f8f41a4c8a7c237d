"""The deliverer as a process; what it receives, writes and publishes is told in the package's docstring."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

from scaisend_common.messages import Control, Flush, Heartbeat, decode_control, decode_jobs
from scaisend_common.plumbing.amqp import Consumer, ControlListener, ExclusiveQueues, Publisher
from scaisend_common.plumbing.blobs import BlobStore
from scaisend_common.plumbing.dns import Resolver
from scaisend_common.plumbing.postgres import open_pool
from scaisend_common.plumbing.redis import connect
from scaisend_common.plumbing.service import Loop, Readiness, main, run
from scaisend_common.plumbing.settings import load
from scaisend_common.schema.migrate import wait_for_schema
from scaisend_common.topology import CONTROL
from scaisend_deliverer.attempt import Attempts
from scaisend_deliverer.bars import reason_to_drop
from scaisend_deliverer.connections import Connections, Egress
from scaisend_deliverer.contents import Contents
from scaisend_deliverer.deliverer import Deliverer
from scaisend_deliverer.hosts import Hosts
from scaisend_deliverer.ledger import Ledger
from scaisend_deliverer.mx import Mx, permitted
from scaisend_deliverer.opening import opportunistic_tls
from scaisend_deliverer.outbox import Outbox
from scaisend_deliverer.paths import Paths
from scaisend_deliverer.senders import Senders
from scaisend_deliverer.settings import Settings
from scaisend_deliverer.shards import Shards
from scaisend_deliverer.store import find_sender
from scaisend_deliverer.timers import Timers
from scaisend_deliverer.writing import Writer

NAME = "deliverer"


async def serve(settings: Settings) -> None:
    """Open the resources, wire the loops, run until told to stop."""
    me, timers, topology, grace = settings.member(), Timers(), settings.topology(), timedelta(seconds=settings.grace_seconds)
    async with (
        open_pool(settings.postgres_dsn, name=NAME, statement_cache=settings.postgres_statement_cache) as pool,
        connect(settings.ledger_url, name=NAME) as ledger_redis,
        connect(settings.redis_url, name=NAME) as redis,
        Publisher(settings.amqp_url, name=NAME) as publisher,
    ):
        shards = Shards(settings.group, settings.shards, me, publisher=publisher, marks=redis, grace=settings.patience())
        ledger, outbox, hosts = Ledger(ledger_redis, me), Outbox(publisher, topology), Hosts()
        senders = Senders(partial(find_sender, pool), settings.kek)
        may = permitted(allow_loopback=settings.allow_private_destinations, source_ip=settings.source_ip)
        attempts = Attempts(
            ledger=ledger,
            senders=senders,
            contents=Contents(BlobStore(pool, cache_bytes=0)),
            mx=Mx(Resolver(settings.dns), may, random.shuffle),
            writer=Writer(settings.token_secret),
            stopped_in_postgres=partial(reason_to_drop, pool),
            schedule=settings.schedule(),
            topology=topology,
            seconds=timers.until_dot,
            now=time.time,
            jitter=random.random,
        )
        deliverer = Deliverer(attempts, ledger, outbox, works=shards.works, now=time.time)
        egress = Egress(settings.egress(), settings.remote_smtp_port, timers, opportunistic_tls(), settings.mails_per_connection)
        paths = Paths(
            limit=settings.connections_per_path,
            most=settings.attempts,
            connections=partial(Connections, egress, hosts),
            may_start=shards.may_start,
            work=deliverer.work,
            overflow=deliverer.overflow,
        )
        consumer = Consumer(settings.amqp_url, [], decode_jobs, deliverer.handle, name=NAME, prefetch=settings.prefetch())
        control = ControlListener(settings.amqp_url, CONTROL, decode_control, _hearing(shards, senders), name=NAME, connected=_all(senders))
        async with ExclusiveQueues(settings.amqp_url, NAME, lost=shards.lost) as exclusive:
            deliverer.use(paths)
            shards.use(exclusive, consumer, paths)
            await run(
                NAME,
                [
                    Loop("shards", shards.run, shards.stop),
                    Loop("consumer", consumer.run, consumer.stop),
                    Loop("control", control.run, control.stop),
                    Loop("paths", paths.run, paths.stop),
                    Loop("ledger", ledger.run, ledger.stop),
                ],
                health_host=settings.health_host,
                health_port=settings.health_port,
                checks={
                    "broker": lambda: Readiness.READY if publisher.is_ready and consumer.is_ready else Readiness.NOT_READY,
                    "shards": lambda: Readiness.READY if shards.is_settled else Readiness.NOT_READY,
                    "ledger": lambda: Readiness.READY if ledger.holds() else Readiness.DEGRADED,
                    "postgres": lambda: Readiness.READY if pool.is_ready else Readiness.DEGRADED,
                },
                grace=grace,
                first=[lambda: wait_for_schema(pool), ledger.refresh],
            )


def _hearing(shards: Shards, senders: Senders) -> Callable[[Control], Awaitable[None]]:
    async def hear(message: Control) -> None:
        match message:
            case Heartbeat():
                shards.hear(message)
            case Flush(tenant_id):
                senders.forget(tenant_id)

    return hear


def _all(senders: Senders) -> Callable[[], Awaitable[None]]:
    async def forget() -> None:
        senders.forget()

    return forget


if __name__ == "__main__":
    main(NAME, load(Settings), serve)
