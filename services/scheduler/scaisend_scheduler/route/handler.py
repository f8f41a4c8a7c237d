"""From a batch of submissions to confirmed jobs."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from msgspec.structs import replace as changed
from prometheus_client import Counter, Histogram
from structlog import get_logger

from scaisend_common.mail.address import suppression_key
from scaisend_common.mail.ids import made_at
from scaisend_common.messages import (
    Control,
    Job,
    LaterItem,
    Lines,
    Personalizations,
    Stream,
    Submission,
    SubmissionBatch,
    WhyLater,
    decode_personalizations,
    encode,
)
from scaisend_common.plumbing.amqp import Ack, Incoming, Park, Publisher, Refused, Settlement
from scaisend_common.plumbing.amqp.parking import park
from scaisend_common.plumbing.blobs import BlobMissing, BlobName, BlobStore
from scaisend_common.plumbing.failpoints import fail_here
from scaisend_common.plumbing.postgres import Pool
from scaisend_common.topology import PARKED
from scaisend_scheduler.packing import Outgoing, pack_events, pack_items, pack_jobs
from scaisend_scheduler.periodic import OUTAGES
from scaisend_scheduler.publishing import publish_all, publish_what_fits
from scaisend_scheduler.route.credit import Credit
from scaisend_scheduler.route.expand import Delivery, expand
from scaisend_scheduler.route.plan import Plan, plan_of
from scaisend_scheduler.route.rest import rest_seconds
from scaisend_scheduler.routing import Egress
from scaisend_scheduler.sites import Sites
from scaisend_scheduler.store import find_barred

log = get_logger()
FULL_SECONDS = 60.0  # for which jobs wait at least whose queue is at its bound
LOAD = 100  # deliveries that are looked up, planned and published at once: some ms of the loop, while a submission may have a thousand
ROUTED = Counter("scaisend_routed_deliveries", "Deliveries routed, by what became of them", ["fate"])
WAITED = Histogram(
    "scaisend_route_wait_seconds", "From acceptance to the handler", buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 60, 3600)
)


class Router:
    """Routes submissions."""

    def __init__(
        self,
        pool: Pool,
        blobs: BlobStore,
        sites: Sites,
        publisher: Publisher,
        egress: Egress,
        *,
        now: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
        rest: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._pool = pool
        self._blobs = blobs
        self._sites = sites
        self._publisher = publisher
        self._egress = egress
        self._now = now
        self._jitter = jitter
        self._rest = rest
        self._transactional_at = float("-inf")  # when transactional mail came last
        self._is_hurried = False
        self._credit = Credit()

    async def hear(self, message: Control) -> None:
        """Note what is said on `control` of paths that have more than they can do."""
        if isinstance(message, Lines):
            self._credit.hear(message, self._now())

    def hurry(self) -> None:
        """Rest no more: a batch of a hundred thousand recipients, with its rests, takes longer than a process has to stop."""
        self._is_hurried = True

    async def handle(self, batch: Sequence[Incoming[SubmissionBatch]]) -> list[Settlement]:
        """Ack a batch when all that follows from it is confirmed: at that instant each recipient's copy is queued for its path.

        A crash or an outage before that routes the batch again: its jobs are then marked as repeats and meet the ledger before they
        are sent; its events have the same ids. A crash after loses nothing: the broker has confirmed every job.
        """
        if batch[0].is_suspect and len(batch[0].value.submissions) > 1:  # it comes alone
            return [await self._one_by_one(batch[0])]
        opened = [[await self._open(each) for each in incoming.value.submissions] for incoming in batch]
        deliveries = _deliveries(batch, opened)
        while load := list(islice(deliveries, LOAD)):
            began = self._now()
            await self._route(load)
            await self._give_way(load, began)
        fail_here("scheduler.route.after_publish_before_ack")
        return [_settlement(each) for each in opened]

    async def _route(self, load: list[Delivery]) -> None:
        """Publish what becomes of these deliveries; returns when the broker has confirmed all of it."""
        barred = await find_barred(self._pool, {(each.message.tenant_id, suppression_key(each.rcpt)) for each in load})
        sites = await self._sites.of(each.rcpt.domain for each in load)
        plan = plan_of(load, barred, sites, self._egress, self._now(), due_at=self._due_at)
        fail_here("scheduler.route.before_publish")
        if load[0].message.stream is Stream.BULK:
            await asyncio.sleep(0)  # each half of a load is a millisecond or two
        messages = [*pack_jobs(plan.jobs), *pack_items(plan.waiting), *pack_events(plan.events, self._egress.topology)]
        if full := await publish_what_fits(self._publisher, messages):
            await self._let_wait(full)
        self._note(load, plan)

    async def _give_way(self, load: list[Delivery], began: float) -> None:
        """Let bulk rest after a load whose routing began at `began`."""
        now = self._now()
        if load[0].message.stream is Stream.TRANSACTIONAL:
            self._transactional_at = now
        elif not self._is_hurried and (seconds := rest_seconds(len(load), LOAD, now - began, now - self._transactional_at)):
            await self._rest(seconds)

    def _due_at(self, job: Job) -> float | None:
        return self._credit.due_at(job, self._now(), self._jitter())

    async def _let_wait(self, refused: Sequence[Outgoing]) -> None:
        """Send jobs whose queue is at its bound to the waiting room, so that one full shard holds up nobody else. Raises Refused."""
        if not all(each.jobs for each in refused):
            raise Refused("the waiting room or the events' queues are at their bound")
        now = self._now()
        waiting = [LaterItem(now + FULL_SECONDS * (1 + self._jitter()), WhyLater.OVERFLOW, job) for each in refused for job in each.jobs]
        log.warning("deliver_queue_full", jobs=len(waiting), first=waiting[0].job.delivery_id)
        ROUTED.labels("overflow").inc(len(waiting))
        await publish_all(self._publisher, list(pack_items(waiting)))

    async def _one_by_one(self, incoming: Incoming[SubmissionBatch]) -> Settlement:
        """Route each submission by itself: one of them may be why the message failed, and is then parked without the others.

        A crash before the ack routes them again, as repeats; one was parked twice, perhaps.
        """
        for submission in incoming.value.submissions:
            if (why := await self._why_parked(replace(incoming, value=SubmissionBatch((submission,))))) is not None:
                await park(self._publisher, PARKED, incoming.queue, encode(SubmissionBatch((changed(submission, repeat=True),))), why)
        return Ack()

    async def _why_parked(self, single: Incoming[SubmissionBatch]) -> str | None:
        """Route one submission; return why it cannot be. An outage, or a release to come, is no fault of it."""
        try:
            [settlement] = await self.handle([single])
        except Exception as error:
            if isinstance(error, OUTAGES) or getattr(error, "pauses_queue", False):
                raise
            log.error("submission_broken", submission_id=single.value.submissions[0].submission_id, exc_info=error)
            return f"{type(error).__name__}: {error}"
        return settlement.why if isinstance(settlement, Park) else None

    async def _open(self, submission: Submission) -> Personalizations | Park:
        """Return the personalizations, fetched where they travel by reference; a blob that is gone parks the submission."""
        match submission.personalizations:
            case Personalizations() as inline:
                return inline
            case reference:
                key = reference.key
                name = BlobName(key.tenant_id, key.submission_id, key.n, made_at(key.submission_id).date())
        try:
            return decode_personalizations(await self._blobs.get(name))
        except BlobMissing as missing:
            log.error("submission_parked", submission_id=submission.submission_id, why=str(missing))
            return Park(f"personalizations: {missing}")

    def _note(self, load: list[Delivery], plan: Plan) -> None:
        now = self._now()
        ROUTED.labels("job").inc(len(plan.jobs))
        ROUTED.labels("waits").inc(len(plan.waiting))
        ROUTED.labels("dropped").inc(len(load) - len(plan.jobs) - len(plan.waiting))
        WAITED.observe(now - load[0].message.accepted_at)
        log.info(
            "deliveries_routed",
            first=load[0].delivery_id,
            deliveries=len(load),
            jobs=len(plan.jobs),
            waiting=len(plan.waiting),
            ms=round(1000 * (now - load[0].message.accepted_at)),
        )


def _settlement(opened: Sequence[Personalizations | Park]) -> Settlement:
    """Park a message with a submission that cannot be opened: what lies elsewhere shares no message."""
    return next((each for each in opened if isinstance(each, Park)), Ack())


def _deliveries(batch: Sequence[Incoming[SubmissionBatch]], opened: Sequence[Sequence[Personalizations | Park]]) -> Iterator[Delivery]:
    for incoming, each in zip(batch, opened, strict=True):
        for submission, personalizations in zip(incoming.value.submissions, each, strict=True):
            if isinstance(personalizations, Personalizations):
                yield from expand(submission, personalizations, repeat=incoming.redelivered)
