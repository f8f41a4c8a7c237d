"""One attempt to deliver one job, from its sender's key to a fate. It writes nothing down: see deliverer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from scaisend_common.mail.events import Hop
from scaisend_common.mail.retry import RetrySchedule
from scaisend_common.mail.verdict import Bounced, Deferred, Unknown, Verdict
from scaisend_common.messages import Content, Job, Stream, WhyLater
from scaisend_common.plumbing.postgres import DatabaseAway
from scaisend_common.plumbing.redis import RedisAway
from scaisend_common.topology import Topology
from scaisend_deliverer.connections import LeftAlone, Unreached
from scaisend_deliverer.contents import Contents
from scaisend_deliverer.earlier import InDoubt, Told, Untried, is_concluded, may_be_forgotten
from scaisend_deliverer.fate import OVERFLOW_SECONDS, Fate, attempted, concluded, known, rerouted, waits
from scaisend_deliverer.ledger import Ledger
from scaisend_deliverer.mx import Destination, Mx
from scaisend_deliverer.outcome import Dropped, Ending, conclude
from scaisend_deliverer.paths import Path
from scaisend_deliverer.permit import Go, Permit, Stopped, Taken, Unsure
from scaisend_deliverer.senders import CannotSign, Sender, Senders
from scaisend_deliverer.transaction import Halted, Recalled, Result, Stale, Transaction
from scaisend_deliverer.waiting import Waiting
from scaisend_deliverer.writing import Writer

SPREAD = 10.0  # seconds, or half as long as a host is left alone, over which its jobs come back

StopCheck = Callable[[Job], Awaitable[str | None]]
Timeline = Callable[[Job], Awaitable[Told | None]]


class Attempts:
    """`stopped_in_postgres` returns the reason to drop a job; it is asked where the ledger cannot be, `told` where it has forgotten.

    `now` in unix seconds.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        senders: Senders,
        contents: Contents,
        mx: Mx,
        writer: Writer,
        stopped_in_postgres: StopCheck,
        told: Timeline,
        schedule: RetrySchedule,
        topology: Topology,
        seconds: float,
        now: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._senders = senders
        self._contents = contents
        self._mx = mx
        self._writer = writer
        self._stopped_in_postgres = stopped_in_postgres
        self._told = told
        self._schedule = schedule
        self._topology = topology
        self._seconds = seconds
        self._now = now
        self._jitter = jitter
        self._loop = asyncio.get_running_loop()

    async def earlier(self, waiting: Waiting) -> Fate | None:
        """Return the fate of a job that somebody may have had before; None: it is still to be tried. Raises RedisAway, DatabaseAway."""
        if not waiting.repeat:
            return None
        job, earlier = waiting.job, await self._ledger.earlier(waiting.job)
        if isinstance(earlier, Untried) and may_be_forgotten(job, self._now()) and is_concluded(job, await self._told(job)):
            return concluded()
        return await self._known(job, known(job, earlier, self._now()))

    async def make(self, path: Path, waiting: Waiting) -> Fate | None:
        """Make the attempt and return what follows; None: it was taken back. Raises CannotSign, DatabaseAway, BlobMissing, NoRoom."""
        job, began = waiting.job, self._loop.time()
        if expired := self._expired(job):
            return expired
        sender = await self._senders.of(job.tenant_id, job.head.sender.address.domain)
        content = await self._contents.of(job.content)
        destination = await self._mx.destination(job.rcpt.domain)
        if not isinstance(destination, Destination):
            return self._ended(job, await self._unless_stopped(job, destination), Hop())
        if job.site == job.rcpt.domain != destination.site:
            return rerouted(job, destination.site, self._topology)
        async with self._writer.room(job):
            result = await self._transact(path, waiting, destination, content, sender)
        hop = waiting.transaction.hop(round(1000 * (self._loop.time() - began))) if waiting.transaction is not None else Hop()
        return await self._fate_of(job, sender, result, hop)

    async def overflow(self, waiting: Waiting, seconds: float) -> Fate:
        """Return the fate of a job for which its path has no room now. Where that lasts, only this look finds out that it is stopped.

        A repeat is not concluded before the ledger was asked what became of it. What goes away for long comes back as one: the copy in the
        broker may be delivered meanwhile, should this process die before it is acked, and be forgotten.
        """
        ending = None
        with suppress(RedisAway, DatabaseAway, CannotSign):  # who cannot be asked now is asked when it comes back
            ending = await self.earlier(waiting) or self._expired(waiting.job) or await self._stopped(waiting.job)
        return ending or waits(waiting.job, WhyLater.OVERFLOW, self._now() + seconds, repeat=True)

    async def _transact(
        self, path: Path, waiting: Waiting, destination: Destination, content: Content, sender: Sender
    ) -> Result | Unreached | LeftAlone:
        """Hand the mail over in a warm session or a new one; a warm one that turns out to be over costs no attempt."""
        claimed, deadline = None, self._loop.time() + self._seconds
        goes_first = waiting.job.stream is Stream.TRANSACTIONAL
        at_once = goes_first or not path.ready  # nobody gains from waiting behind another's mail
        while True:
            try:
                transaction = await path.connections.begin(destination.targets, path.most, deadline, at_once=at_once, sets_apart=goes_first)
            except asyncio.CancelledError:
                if claimed is not None:
                    await self._unclaim(waiting.job, claimed)
                raise
            if not isinstance(transaction, Transaction):
                path.pace = path.pace.stopped() if isinstance(transaction, Unreached) else path.pace
                if claimed is not None and isinstance(transaction, LeftAlone):
                    await self._unclaim(waiting.job, claimed)
                return transaction
            waiting.transaction = transaction
            path.look_again()  # another may follow it
            now = datetime.fromtimestamp(self._now(), UTC)
            try:
                mail = await self._writer.write(waiting.job, content, sender, transaction.extensions, now)
                if isinstance(mail, Bounced):
                    return mail
                claimed = claimed or self._ledger.claim(waiting.job)
                result = await transaction.hand_over(mail.envelope, mail.wire, partial(self._permit, waiting.job, claimed), deadline)
                if not isinstance(result, Halted | Stale | Recalled):
                    path.pace = path.pace.after(result)
            finally:
                path.connections.end(transaction, keep=path.connections.open <= path.most())
            if isinstance(result, Recalled):
                await self._unclaim(waiting.job, claimed)
            if not isinstance(result, Stale):
                return result
            waiting.transaction = None  # nothing was said: it can be taken back by cancelling it

    async def _permit(self, job: Job, claimed: Awaitable[Permit]) -> Permit:
        """Return the ledger's word. Where it has none, Postgres says what is stopped: rather an attempt unclaimed than none at all."""
        try:
            permit = await claimed
        except RedisAway:
            permit = Unsure(lambda: True)
        if not isinstance(permit, Unsure):
            return permit
        try:
            reason = await self._stopped_in_postgres(job)
        except DatabaseAway:
            await self._unclaim(job, claimed)
            raise
        return Go(permit.holds) if reason is None else Stopped(reason)

    async def _unclaim(self, job: Job, claimed: Awaitable[Permit]) -> None:
        """Give up a claim under which nothing was sent; left behind, it would stand for a mail in doubt. One on its way is waited for."""
        await asyncio.shield(self._release(job, claimed))

    async def _release(self, job: Job, claimed: Awaitable[Permit]) -> None:
        with suppress(RedisAway):
            await claimed
        await self._ledger.release(job)

    async def _fate_of(self, job: Job, sender: Sender, result: Result | Unreached | LeftAlone, hop: Hop) -> Fate | None:
        match result:
            case Unreached(verdict, where):
                return self._ended(job, await self._unless_stopped(job, verdict), where)
            case LeftAlone(seconds):
                seconds += max(SPREAD, seconds / 2) * self._jitter()
                return await self._stopped(job) or waits(job, WhyLater.SUSPENDED, self._now() + seconds, repeat=True)
            case Halted(Stopped(reason)):
                return self._ended(job, Dropped(reason), Hop())
            case Halted(Taken(value)):
                return await self._known(job, known(job, await self._ledger.meaning(value), self._now()))
            case Halted():
                await self._ledger.release(job)
                return waits(job, WhyLater.OVERFLOW, self._now() + OVERFLOW_SECONDS, repeat=True)
            case Recalled():
                return None
            case Stale(why):
                raise AssertionError(f"a stale session was not replaced: {why}")
            case verdict:
                return self._ended(job, await self._unless_stopped(job, verdict), hop, at_most_once=sender.at_most_once)

    async def _unless_stopped(self, job: Job, verdict: Verdict) -> Verdict | Dropped:
        """A deferred job that was stopped meanwhile does not wait for its next attempt; without the ledger, that one will find out."""
        return await self._stop(job) or verdict if isinstance(verdict, Deferred) else verdict

    async def _stopped(self, job: Job) -> Fate | None:
        """Return the fate of a job that was not tried here and was stopped meanwhile; None: it may wait. Another copy may be known."""
        if (stop := await self._stop(job)) is None:
            return None
        try:
            earlier = await self._ledger.earlier(job)
        except RedisAway:
            return None
        return await self._known(job, known(job, earlier, self._now())) or self._ended(job, stop, Hop())

    def _expired(self, job: Job) -> Fate | None:
        if self._now() < job.expires_at:
            return None
        return self._ended(job, Deferred("its time was over before it could be tried"), Hop())

    async def _stop(self, job: Job) -> Dropped | None:
        try:
            reason = await self._ledger.stopped(job)
        except RedisAway:
            return None
        return None if reason is None else Dropped(reason)

    async def _known(self, job: Job, fate: Fate | InDoubt | None) -> Fate | None:
        if not isinstance(fate, InDoubt):
            return fate
        sender = await self._senders.of(job.tenant_id, job.head.sender.address.domain)
        return self._ended(job, Unknown(fate.why), Hop(), at_most_once=sender.at_most_once)

    def _ended(self, job: Job, ending: Ending, hop: Hop, *, at_most_once: bool = False) -> Fate:
        now, jitter = self._now(), self._jitter()
        outcome = conclude(job, ending, hop, schedule=self._schedule, at_most_once=at_most_once, now=now, jitter=jitter)
        return attempted(job, outcome)
