"""The sweep: what waits and was stopped meanwhile is dropped within seconds, not when it is due."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Collection
from datetime import datetime, timedelta

from prometheus_client import Counter
from structlog import get_logger

from scaisend_common.mail.events import DroppedEvent
from scaisend_common.messages import Job
from scaisend_common.plumbing.amqp import Publisher
from scaisend_common.plumbing.failpoints import fail_here
from scaisend_common.plumbing.postgres import Pool
from scaisend_common.topology import Topology
from scaisend_scheduler.barred import Barred
from scaisend_scheduler.later import store
from scaisend_scheduler.later.dropping import end_of_wait
from scaisend_scheduler.later.row import LaterRow, job_of
from scaisend_scheduler.packing import pack_events, pack_jobs
from scaisend_scheduler.publishing import publish_all, publish_what_fits
from scaisend_scheduler.store import find_barred

log = get_logger()
EVERY = timedelta(seconds=15)
RETRY = timedelta(seconds=5)  # after an outage
OVERLAP = timedelta(seconds=45)  # before the last sweep: the longest transaction that may commit a suppression, and dropping.LATE
LEASE = timedelta(seconds=30)
SUSPENDED_PAGES = 50  # of 200 rows a sweep: a tenant with millions that wait does not keep the next suppressions from being found
SWEPT = Counter("scaisend_later_swept", "Jobs stopped while they waited: dropped, or sent on to where they are", ["fate"])


class Sweep:
    """Looks for what is stopped. Any number of processes may sweep: one that another was just ahead of has nothing to do."""

    def __init__(self, pool: Pool, publisher: Publisher, topology: Topology, *, now: Callable[[], float] = time.time) -> None:
        self._pool = pool
        self._publisher = publisher
        self._topology = topology
        self._now = now

    async def sweep(self) -> int:
        """Drop what was stopped since the last sweep, whosever that was; return how many jobs left. Raises OUTAGES.

        The mark moves when nothing is left that should go. A crash before that, an outage, a row that another sweep holds: the next one
        begins at the same mark, however long that takes.
        """
        mark = await store.read_mark(self._pool)
        if mark.now - mark.looked_at < EVERY / 2:
            return 0
        stopped = left = 0
        async for rows, barred in self._stopped(mark.looked_at - OVERLAP):
            these, gone = await self._drop(rows, barred)
            stopped, left = stopped + these, left + gone
        if stopped == left:
            await store.move_mark(self._pool, mark.now)
        return left

    async def drop_barred(self, recipients: Collection[tuple[str, str]]) -> None:
        """Drop what waits for those of the recipients (tenant, suppression key) who are barred. Raises OUTAGES."""
        async for rows, barred in self._waiting_for(recipients):
            await self._drop(rows, barred)

    async def _stopped(self, since: datetime) -> AsyncIterator[tuple[list[LaterRow], Barred]]:
        """Yield rows, with what stands against them."""
        async for recipients in store.suppressed_since(self._pool, since):
            async for found in self._waiting_for(recipients):
                yield found
        pages = 0
        for tenant_id in await store.suspended_tenants_waiting(self._pool):
            async for rows in store.waiting_of(self._pool, tenant_id):
                yield rows, Barred(frozenset([tenant_id]), {})
                pages += 1
                if pages == SUSPENDED_PAGES:
                    return

    async def _waiting_for(self, recipients: Collection[tuple[str, str]]) -> AsyncIterator[tuple[list[LaterRow], Barred]]:
        barred = await find_barred(self._pool, recipients)
        async for rows in store.waiting_for(self._pool, barred.suppressed):
            yield rows, barred

    async def _drop(self, rows: list[LaterRow], barred: Barred) -> tuple[int, int]:
        """Lease the rows that are stopped, publish what becomes of them, delete them; return how many were stopped, and how many are gone.

        At the confirm of its dropped event a delivery has ended. A crash before the deletion lets the lease run out: the same is published
        again.
        """
        ends = {row.key: end for row in rows if (end := self._end(row, barred)) is not None}
        if not ends:
            return 0, 0
        leased = await store.lease(self._pool, ends, LEASE)
        events = [end for key in leased if isinstance(end := ends[key], DroppedEvent)]
        jobs = [end for key in leased if isinstance(end := ends[key], Job)]
        fail_here("scheduler.later.after_lease_before_dropped")
        await publish_all(self._publisher, list(pack_events(events, self._topology)))
        full = {
            (job.delivery_id, job.attempt) for each in await publish_what_fits(self._publisher, list(pack_jobs(jobs))) for job in each.jobs
        }
        leased = [key for key in leased if (key.delivery_id, key.attempt) not in full]
        fail_here("scheduler.later.after_dropped_before_delete")
        if leased:
            await store.forget(self._pool, leased)
        SWEPT.labels("dropped").inc(len(events))
        SWEPT.labels("sent_on").inc(len(jobs) - len(full))
        if leased:
            log.info("stopped_jobs_swept", dropped=len(events), sent_on=len(jobs) - len(full), first=leased[0].delivery_id)
        return len(ends), len(leased)

    def _end(self, row: LaterRow, barred: Barred) -> DroppedEvent | Job | None:
        job = job_of(row)
        return None if job is None else end_of_wait(job, row.why, barred, leased_before=row.leased_before, now=self._now())
