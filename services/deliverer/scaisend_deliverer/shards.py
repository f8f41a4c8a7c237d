"""Which shards this process works: who should (heartbeats and rendezvous hashing), who may (exclusive queues), and the hand-over.

Whoever holds `own.<group>.<shard>` may work the shard, as long as the broker was heard within a heartbeat interval. A clean hand-over:
nothing new starts, running transactions end, connections are closed, the mark `held:…` goes, then the queue. A mark that is still there
tells the next owner that the last one may still have connections.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import cast

from prometheus_client import Gauge
from structlog import get_logger

from scaisend_common.messages import Heartbeat, JobBatch, Stream, encode
from scaisend_common.plumbing.amqp import Consumer, ExclusiveQueues, Publisher, Refused, Unavailable, Unroutable
from scaisend_common.plumbing.health import Readiness
from scaisend_common.plumbing.redis import Redis, RedisAway
from scaisend_common.topology import CONTROL, deliver_queue, own_queue
from scaisend_deliverer.assignment import assign
from scaisend_deliverer.paths import Paths

log = get_logger()

BEAT = 1.0  # seconds
SILENT_AFTER = 4.0  # a member not heard for so long is gone
LEASE = 75.0  # seconds for which an owner that did not release may still have connections: it may only have been stopped for a while
LAST = 2.0  # seconds for the rest of a shard to be published while some of its transactions wait for the reply to their dot
PATIENCE = 60.0  # seconds that transactions may take to end at a hand-over
OWNED = Gauge("scaisend_shards_owned", "Shards that this process works")
_DROP_MARK = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class Shards:
    """`grace`: seconds that transactions may take to end when the process is to stop."""

    def __init__(
        self,
        group: str,
        count: int,
        member: str,
        *,
        publisher: Publisher,
        marks: Redis,
        grace: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._group = group
        self._count = count
        self._member = member
        self._publisher = publisher
        self._marks = marks
        self._grace = grace
        self._clock = clock
        self._heard: dict[str, float] = {}
        self._working: set[int] = set()
        self._adding: dict[int, asyncio.Task[None]] = {}
        self._leaving: dict[int, asyncio.Task[None]] = {}
        self._stopped = asyncio.Event()
        self._exclusive: ExclusiveQueues
        self._consumer: Consumer[JobBatch]
        self._paths: Paths

    def use(self, exclusive: ExclusiveQueues, consumer: Consumer[JobBatch], paths: Paths) -> None:
        """Own shards by these queues, take their jobs by this consumer, send them over these paths."""
        self._exclusive, self._consumer, self._paths = exclusive, consumer, paths

    def readiness(self) -> Readiness:
        """Ready: it works every shard that it should, and no other; degraded: some are still with another."""
        if not self._exclusive.is_fresh:
            return Readiness.NOT_READY
        if self._working == self._mine() and not self._leaving:
            return Readiness.READY
        return Readiness.DEGRADED if self._working else Readiness.NOT_READY

    def works(self, shard: int) -> bool:
        """Jobs of the shard are taken in."""
        return shard in self._working

    def may_start(self, shard: int) -> bool:
        """The shard is surely ours: an attempt may start."""
        return shard in self._working and self._exclusive.is_fresh

    def hear(self, heartbeat: Heartbeat) -> None:
        """Note who lives."""
        if heartbeat.group != self._group or heartbeat.member == self._member:
            return
        if heartbeat.leaving:
            self._heard.pop(heartbeat.member, None)
        else:
            self._heard[heartbeat.member] = self._clock()

    def lost(self) -> None:
        """The connection that owned the queues is gone, and with it every shard: others may have them by now."""
        for shard in list(self._working):
            log.warning("shard_lost", shard=shard)
            self._leave(shard, 0, released=False)

    async def run(self) -> None:
        """Beat, win and leave shards until `stop`."""
        await self._beat()
        await self._rest()  # long enough to hear the others
        while not self._stopped.is_set():
            await self._beat()
            await self._settle()
            await self._rest()

    async def stop(self) -> None:
        """Leave every shard. Transactions may take most of the grace period to end; after that only those go on that may have arrived."""
        self._stopped.set()
        await self._beat(leaving=True)
        for shard in list(self._working):
            self._leave(shard, self._grace, released=True)
        while self._leaving:
            await asyncio.wait(self._leaving.values())

    async def _settle(self) -> None:
        """Move towards the shards that should be ours."""
        mine = self._mine()
        for shard in self._working - mine:
            self._leave(shard, PATIENCE, released=True)
        for shard in sorted(mine - self._working - self._leaving.keys()):
            if self._stopped.is_set() or not await self._exclusive.acquire(own_queue(self._group, shard)):
                continue
            await self._win(shard)

    def _mine(self) -> set[int]:
        now = self._clock()
        living = {self._member, *(member for member, heard_at in self._heard.items() if now - heard_at < SILENT_AFTER)}
        return {shard for shard, member in assign(living, self._group, self._count).items() if member == self._member}

    async def _win(self, shard: int) -> None:
        """Begin to work a shard that is ours: carefully, where its last owner has not released it."""
        if await self._last_owner_may_go_on(shard):
            self._paths.take_over(shard, LEASE)
        self._working.add(shard)
        OWNED.set(len(self._working))
        self._adding[shard] = asyncio.create_task(self._add_queues(shard))
        log.info("shard_won", shard=shard)

    async def _add_queues(self, shard: int) -> None:
        """Take jobs of a shard in; beside the heartbeats, since a drop of the same queue that is still going on is waited for."""
        for stream in Stream:
            await self._consumer.add_queue(deliver_queue(self._group, shard, stream))

    def _leave(self, shard: int, patience: float, *, released: bool) -> None:
        self._working.discard(shard)
        if (adding := self._adding.pop(shard, None)) is not None:
            adding.cancel()
        OWNED.set(len(self._working))
        task = self._leaving[shard] = asyncio.create_task(self._hand_over(shard, patience, released=released))
        task.add_done_callback(lambda _: self._leaving.pop(shard))

    async def _hand_over(self, shard: int, patience: float, *, released: bool) -> None:
        """Give a shard up. At the release of its queue another may begin; a crash before that leaves the mark, and the other is careful."""
        queues = [deliver_queue(self._group, shard, stream) for stream in Stream]
        dropping = [asyncio.create_task(self._consumer.drop_queue(queue)) for queue in queues]
        all_ended = await self._paths.leave([shard], patience)
        await asyncio.wait(dropping, timeout=None if all_ended else LAST)
        if released and all_ended:
            try:
                await cast("Awaitable[int]", self._marks.eval(_DROP_MARK, 1, self._mark(shard), self._member))
            except RedisAway as away:
                log.warning("shard_not_marked", shard=shard, why=str(away))
        await self._exclusive.release(own_queue(self._group, shard))
        log.info("shard_left", shard=shard)

    async def _last_owner_may_go_on(self, shard: int) -> bool:
        """Put our mark on the shard; tell whether somebody else's was still on it, or nobody can know."""
        try:
            last = await self._marks.set(self._mark(shard), self._member, get=True)
        except RedisAway as away:
            log.warning("shard_not_marked", shard=shard, why=str(away))
            return True
        return last not in (None, self._member.encode())

    def _mark(self, shard: int) -> str:
        return f"held:{self._group}:{shard}"

    async def _beat(self, *, leaving: bool = False) -> None:
        try:
            await self._publisher.publish(CONTROL, "", encode(Heartbeat(self._group, self._member, leaving)), mandatory=False)
        except (Unavailable, Refused, Unroutable) as away:
            log.warning("heartbeat_not_sent", why=str(away))

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(BEAT):
                await self._stopped.wait()
        except TimeoutError:
            return

    def __repr__(self) -> str:
        return f"<Shards: works {sorted(self._working)}, leaves {sorted(self._leaving)}>"
