"""The loop that turns due rows into jobs again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from math import inf

from prometheus_client import Counter, Histogram
from structlog import get_logger

from scaisend_common.messages import Job
from scaisend_common.plumbing.amqp import Publisher, Refused, Unavailable, Unroutable
from scaisend_common.plumbing.failpoints import fail_here
from scaisend_common.plumbing.postgres import DatabaseAway, Pool
from scaisend_scheduler.later.awaken import awakened
from scaisend_scheduler.later.row import LaterRow, job_of
from scaisend_scheduler.later.store import claim_due, forget
from scaisend_scheduler.packing import pack_jobs
from scaisend_scheduler.publishing import publish_what_fits
from scaisend_scheduler.routing import Egress, route_of
from scaisend_scheduler.sites import Sites

log = get_logger()
MOST = 200
LEASE = timedelta(seconds=60)  # far longer than a claim, 300 ms of DNS and a bounded publish can take together
IDLE = 1.0  # seconds between looks; what this process took in itself is looked for at its due time
MARGIN = 0.005  # seconds by which the database's clock may be behind ours without costing a second look
OUTAGES = (DatabaseAway, Unavailable, Refused, Unroutable)
AWAKENED = Counter("scaisend_later_awakened", "Jobs sent on from the waiting room", ["why"])
LATE = Histogram("scaisend_later_lateness_seconds", "From due to confirmed", buckets=(0.01, 0.05, 0.1, 0.5, 1, 2, 5, 30, 300, 3600))


class DueLoop:
    """Sends due jobs on until stopped."""

    def __init__(self, pool: Pool, sites: Sites, publisher: Publisher, egress: Egress, *, now: Callable[[], float] = time.time) -> None:
        self._pool = pool
        self._sites = sites
        self._publisher = publisher
        self._egress = egress
        self._now = now
        self._stopping = False
        self._woken = asyncio.Event()
        self._soonest = inf  # due time of a row that this process took in
        self._until = inf  # end of the current rest

    async def run(self) -> None:
        """Send on what is due, rest, look again; an outage is waited for."""
        while not self._stopping:
            try:
                found = await self.send_due()
            except OUTAGES as outage:
                log.warning("due_jobs_held", why=f"{type(outage).__name__}: {outage}")
                found = 0
            if found < MOST:
                await self._rest()

    async def stop(self) -> None:
        """End after the rows that are under way."""
        self._stopping = True
        self._woken.set()

    def wake(self, due_at: float) -> None:
        """Look again at `due_at` (unix seconds) at the latest."""
        self._soonest = min(self._soonest, due_at + MARGIN)
        if self._soonest < self._until:
            self._until = self._soonest
            self._woken.set()

    async def send_due(self) -> int:
        """Lease due rows, publish their jobs, delete the rows when all are confirmed; return how many there were. Raises OUTAGES.

        At the confirm the jobs are queued for their paths. A crash before the deletion lets the lease run out: the rows are sent on
        again, marked as repeats. A crash after it loses nothing. Rows whose queue is at its bound wait until their lease runs out.
        """
        rows = await claim_due(self._pool, MOST, LEASE)
        waiting = [(row, job) for row in rows if (job := job_of(row))]
        if not waiting:
            return len(rows)
        fail_here("scheduler.later.after_claim_before_publish")
        sites = await self._sites.of(job.rcpt.domain for _, job in waiting)
        jobs = pack_jobs(self._on_path(row, job, sites[job.rcpt.domain]) for row, job in waiting)
        full = {(job.delivery_id, job.attempt) for each in await publish_what_fits(self._publisher, list(jobs)) for job in each.jobs}
        fail_here("scheduler.later.after_publish_before_delete")
        gone = [row for row, job in waiting if (job.delivery_id, job.attempt) not in full]
        if full:
            log.warning("deliver_queue_full", jobs=len(full))
        if gone:
            await forget(self._pool, [row.key for row in gone])
            self._note(gone)
        return len(rows)

    def _on_path(self, row: LaterRow, job: Job, site: str) -> Job:
        route = route_of(site, self._egress, last_source=job.source)
        return awakened(job, row.why, leased_before=row.leased_before, route=route, now=self._now())

    def _note(self, rows: list[LaterRow]) -> None:
        now = self._now()
        for row in rows:
            AWAKENED.labels(row.why).inc()
        LATE.observe(now - rows[0].key.due_at.timestamp())
        log.info(
            "jobs_awakened", jobs=len(rows), first=rows[0].key.delivery_id, late_ms=round(1000 * (now - rows[0].key.due_at.timestamp()))
        )

    async def _rest(self) -> None:
        if self._soonest <= self._now():
            self._soonest = inf
        self._until = min(self._now() + IDLE, self._soonest)
        while not self._stopping and (pause := self._until - self._now()) > 0:
            self._woken.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()
        self._until = inf
