"""The heart: a job comes in, an attempt is made, its outcome is recorded, what follows is published, the message is acked."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta

from prometheus_client import Counter
from structlog import get_logger

from scaisend_common.mail.ids import DeliveryId
from scaisend_common.mail.verdict import Unknown
from scaisend_common.messages import Job, JobBatch, WhyLater
from scaisend_common.plumbing.amqp import Ack, Incoming, Retry, Settlement
from scaisend_common.plumbing.blobs import BlobMissing
from scaisend_common.plumbing.failpoints import fail_here
from scaisend_common.plumbing.postgres import DatabaseAway
from scaisend_common.plumbing.redis import RedisAway
from scaisend_deliverer.attempt import Attempts
from scaisend_deliverer.fate import OVERFLOW_SECONDS, Fate, parked, waits
from scaisend_deliverer.ledger import Ledger
from scaisend_deliverer.outbox import Outbox
from scaisend_deliverer.paths import Path, Paths
from scaisend_deliverer.senders import CannotSign
from scaisend_deliverer.waiting import End, Waiting
from scaisend_deliverer.writing import NoRoom

log = get_logger()

SUSPECT = 3  # broker deliveries from which on a message is handled alone: it may be what kills the process
JOBS = Counter("scaisend_jobs", "Jobs by what became of them in this process", ["what"])
UNKNOWN = Counter("scaisend_unknown_attempts", "Attempts in doubt")


@dataclass(slots=True)
class Held:
    """What a queue has handed over and not had back: messages, their jobs, and how many of these only wait for a confirm."""

    messages: int = 0
    jobs: int = 0
    ended: int = 0

    def lacks_work(self, prefetch: int) -> bool:
        """Before something is acked the queue will hand over little more, and most of what there is has ended. Pure."""
        return self.messages * 2 >= prefetch and self.ended * 2 >= self.jobs


class Deliverer:
    """`works` tells whether a shard is being worked here; `prefetch`: as many messages a queue hands over before the first ack.

    Call `use` with the paths before the first message comes.
    """

    def __init__(
        self,
        attempts: Attempts,
        ledger: Ledger,
        outbox: Outbox,
        *,
        works: Callable[[int], bool],
        prefetch: int,
        now: Callable[[], float],
    ) -> None:
        self._attempts = attempts
        self._ledger = ledger
        self._outbox = outbox
        self._works = works
        self._prefetch = prefetch
        self._held: defaultdict[str, Held] = defaultdict(Held)  # by queue
        self._now = now
        self._jobs: dict[tuple[DeliveryId, int], Waiting] = {}
        self._alone = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._paths: Paths

    def use(self, paths: Paths) -> None:
        """Send jobs over these paths."""
        self._paths = paths

    def handle(self, incoming: Incoming[JobBatch]) -> Coroutine[None, None, Settlement]:
        """Take the jobs of a message in; ack it when all that follows from each is confirmed: at that instant their attempts have happened.

        A crash before that brings the message again; its jobs then meet the ledger, and what was concluded is only published again.
        """
        if incoming.failures >= SUSPECT:
            return self._handle_alone(incoming)
        return self._settlement(incoming, self._take_all(incoming))

    async def work(self, path: Path, waiting: Waiting) -> None:
        """Bring one job to its end. A crash before the final dot repeats the attempt, one between dot and record leaves it in doubt."""
        try:
            fate = await self._fate(path, waiting)
        except asyncio.CancelledError:
            waiting.finish(End.PUT_BACK)
            return
        waiting.is_ending = True
        self._paths.free(path, waiting)
        await self._settle(waiting, fate)

    async def overflow(self, waiting: Waiting, seconds: float) -> None:
        """Send a job to wait elsewhere: its path has no room for it."""
        await self._settle(waiting, await self._attempts.overflow(waiting, seconds))

    async def broken(self, waiting: Waiting, error: BaseException) -> None:
        """Park a job that no code was prepared for, alone."""
        log.error("job_broken", delivery_id=waiting.job.delivery_id, exc_info=error)
        await self._settle(waiting, parked(waiting.job, waiting.queue, f"{type(error).__name__}: {error}"))

    async def _handle_alone(self, incoming: Incoming[JobBatch]) -> Settlement:
        async with self._alone:
            return await self._settlement(incoming, self._take_all(incoming))

    async def _settlement(self, incoming: Incoming[JobBatch], taken: list[Waiting]) -> Settlement:
        held = self._held[incoming.queue]
        held.messages += 1
        try:
            ends = [await waiting.end for waiting in taken]
        finally:
            held.messages -= 1
        fail_here("deliverer.after_publish_before_ack")
        return Retry(timedelta(0)) if End.PUT_BACK in ends else Ack()

    def _take_all(self, incoming: Incoming[JobBatch]) -> list[Waiting]:
        return [self._take(job, incoming) for job in incoming.value.jobs]

    def _take(self, job: Job, incoming: Incoming[JobBatch]) -> Waiting:
        """Take a job in, or find it at work already: then this copy of its message only waits for the same end."""
        key = job.delivery_id, job.attempt
        waiting = self._jobs.get(key)
        if waiting is not None:
            return waiting
        repeat = incoming.redelivered or job.repeat
        waiting = self._jobs[key] = Waiting(job, incoming.queue, repeat, self._loop.time(), self._loop.create_future())
        self._held[waiting.queue].jobs += 1
        waiting.end.add_done_callback(lambda _: self._on_end(waiting))
        if self._works(job.shard):
            self._paths.put(waiting)
        else:
            waiting.finish(End.PUT_BACK)
        return waiting

    async def _fate(self, path: Path, waiting: Waiting) -> Fate | None:
        """Return what becomes of a job. An outage lets it wait; a blob that is gone parks it."""
        job = waiting.job
        try:
            return await self._attempts.earlier(waiting) or await self._attempts.make(path, waiting)
        except (DatabaseAway, RedisAway, CannotSign, NoRoom) as away:
            log.warning("job_waits", delivery_id=job.delivery_id, why=f"{type(away).__name__}: {away}")
            return waits(job, WhyLater.OVERFLOW, self._now() + OVERFLOW_SECONDS, repeat=True)
        except BlobMissing as missing:
            return parked(job, waiting.queue, str(missing))

    async def _settle(self, waiting: Waiting, fate: Fate | None) -> None:
        """Record and publish what follows; then the job is done. None: the job goes back to its queue."""
        if fate is None:
            waiting.finish(End.PUT_BACK)
            return
        if fate.outcome is not None:
            fail_here("deliverer.after_250_before_ledger")
            await self._record(waiting, fate)
            fail_here("deliverer.after_ledger_before_publish")
        else:
            self._let_go(waiting)  # the same attempt may come back, even before the confirm, and is then another's to make
        held = self._held[waiting.queue]
        held.ended += 1
        try:
            await self._outbox.add(fate.letter, soon=held.lacks_work(self._prefetch))
        finally:
            held.ended -= 1
        if fate.outcome is not None:
            self._ledger.shorten(waiting.job)
        waiting.finish(End.DONE)
        JOBS.labels(fate.what).inc()

    async def _record(self, waiting: Waiting, fate: Fate) -> None:
        """Write the outcome to the ledger. Without the ledger it is published all the same: a crash before the ack leaves it in doubt."""
        job, outcome = waiting.job, fate.outcome
        assert outcome is not None
        if isinstance(outcome.ending, Unknown):
            UNKNOWN.inc()
        try:
            await self._ledger.record(job, outcome)
        except RedisAway as away:
            log.warning("outcome_not_recorded", delivery_id=job.delivery_id, attempt=job.attempt, why=str(away))
        reply = getattr(outcome.ending, "reply", None)
        log.info(
            "attempt",
            delivery_id=job.delivery_id,
            attempt=job.attempt,
            path=f"{job.source}|{job.site}",
            mx=outcome.hop.mx_host,
            tls=outcome.hop.tls_version,
            verdict=fate.what,
            reply=str(reply) if reply is not None else getattr(outcome.ending, "why", ""),
            next_at=outcome.next_at,
            ms=outcome.hop.ms,
        )

    def _on_end(self, waiting: Waiting) -> None:
        self._held[waiting.queue].jobs -= 1
        self._let_go(waiting)

    def _let_go(self, waiting: Waiting) -> None:
        key = waiting.job.delivery_id, waiting.job.attempt
        if self._jobs.get(key) is waiting:
            del self._jobs[key]

    def __repr__(self) -> str:
        return f"<Deliverer: {len(self._jobs)} jobs>"
