"""How the parts of the deliverer hang together."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from scaisend_common.messages import Control, Flush, Heartbeat, Line, Lines, decode_control, decode_jobs, encode
from scaisend_common.plumbing.amqp import Consumer, ControlListener, ExclusiveQueues, Publisher, Refused, Unavailable, Unroutable
from scaisend_common.plumbing.blobs import BlobStore
from scaisend_common.plumbing.dns import Resolver
from scaisend_common.plumbing.postgres import Pool
from scaisend_common.plumbing.redis import Redis
from scaisend_common.plumbing.service import Loop, Readiness
from scaisend_common.topology import CONTROL, is_transactional
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
from scaisend_deliverer.paths import Path, Paths
from scaisend_deliverer.senders import Senders
from scaisend_deliverer.settings import Settings
from scaisend_deliverer.shards import Shards
from scaisend_deliverer.store import find_sender, find_told
from scaisend_deliverer.timers import Timers
from scaisend_deliverer.writing import Writer

NAME = "deliverer"


@dataclass(frozen=True, slots=True)
class Parts:
    """What `service.run` needs; `exclusive` is to be entered around it."""

    exclusive: ExclusiveQueues
    ledger: Ledger
    loops: Sequence[Loop]
    checks: Mapping[str, Callable[[], Readiness]]


def wire(settings: Settings, pool: Pool, ledger_redis: Redis, redis: Redis, publisher: Publisher) -> Parts:
    """Build everything, from the resources inwards to the heart and out again to the consumer."""
    member, topology, timers = settings.member(), settings.topology(), Timers()
    shards = Shards(settings.group, settings.shards, member, publisher=publisher, marks=redis, grace=settings.patience())
    ledger, outbox = Ledger(ledger_redis, member), Outbox(publisher, topology)
    senders = Senders(partial(find_sender, pool), settings.kek)
    may = permitted(allow_loopback=settings.allow_private_destinations, source_ip=settings.source_ip)
    attempts = Attempts(
        ledger=ledger,
        senders=senders,
        contents=Contents(BlobStore(pool, cache_bytes=0)),
        mx=Mx(Resolver(settings.dns), may, random.shuffle),
        writer=Writer(settings.token_secret),
        stopped_in_postgres=partial(reason_to_drop, pool),
        told=partial(find_told, pool),
        schedule=settings.schedule(),
        topology=topology,
        seconds=timers.until_dot,
        now=time.time,
        jitter=random.random,
    )
    deliverer = Deliverer(attempts, ledger, outbox, works=shards.works, prefetch=settings.prefetch(), now=time.time)
    egress = Egress(settings.egress(), settings.remote_smtp_port, timers, opportunistic_tls(), settings.mails_per_connection)
    paths = Paths(
        limit=settings.connections_per_path,
        most=settings.attempts,
        connections=partial(Connections, egress, Hosts()),
        may_start=shards.may_start,
        work=deliverer.work,
        overflow=deliverer.overflow,
        broken=deliverer.broken,
        tell=Telling(settings.group, publisher).tell,
        jitter=random.random,
    )
    consumer = Consumer(
        settings.amqp_url, [], decode_jobs, deliverer.handle, name=NAME, prefetch=settings.prefetch(), goes_first=is_transactional
    )
    exclusive = ExclusiveQueues(settings.amqp_url, NAME, lost=shards.lost)
    deliverer.use(paths)
    shards.use(exclusive, consumer, paths)
    hearing = Hearing(shards, senders)
    control = ControlListener(settings.amqp_url, CONTROL, decode_control, hearing.hear, name=NAME, connected=hearing.missed)
    return Parts(
        exclusive,
        ledger,
        [
            Loop("shards", shards.run, shards.stop),
            Loop("consumer", consumer.run, consumer.stop),
            Loop("control", control.run, control.stop),
            Loop("paths", paths.run, paths.stop),
            Loop("ledger", ledger.run, ledger.stop),
        ],
        {
            "broker": lambda: Readiness.READY if publisher.is_ready and consumer.is_ready else Readiness.NOT_READY,
            "shards": shards.readiness,
            "ledger": lambda: Readiness.READY if ledger.holds() else Readiness.DEGRADED,
            "postgres": lambda: Readiness.READY if pool.is_ready else Readiness.DEGRADED,
        },
    )


class Hearing:
    """What is heard on `control`."""

    def __init__(self, shards: Shards, senders: Senders) -> None:
        self._shards = shards
        self._senders = senders

    async def hear(self, message: Control) -> None:
        """Note who lives; read again what has changed."""
        match message:
            case Heartbeat():
                self._shards.hear(message)
            case Flush(tenant_id):
                self._senders.forget(tenant_id)

    async def missed(self) -> None:
        """Something may have been said while nobody listened."""
        self._senders.forget()


class Telling:
    """What is said on `control` of paths."""

    def __init__(self, group: str, publisher: Publisher) -> None:
        self._group = group
        self._publisher = publisher

    async def tell(self, path: Path, lines: tuple[Line, ...]) -> None:
        """Tell routers whose jobs for a path wait in `later`. What is not heard only costs a round through the deliverer."""
        with suppress(Unavailable, Refused, Unroutable):
            await self._publisher.publish(CONTROL, "", encode(Lines(self._group, path.source, path.site, lines)), mandatory=False)
