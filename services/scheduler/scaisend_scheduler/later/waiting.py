"""From `mail.later` messages to rows."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence

from msgspec.structs import replace
from prometheus_client import Counter
from structlog import get_logger

from scaisend_common.mail.address import suppression_key
from scaisend_common.messages import LaterBatch, LaterItem
from scaisend_common.plumbing.amqp import Ack, Incoming, Settlement
from scaisend_common.plumbing.failpoints import fail_here
from scaisend_common.plumbing.postgres import Pool
from scaisend_scheduler.later.dropping import came_late
from scaisend_scheduler.later.store import keep_waiting

log = get_logger()
ROWS = 500
WAITING = Counter("scaisend_later_items", "Jobs taken into the waiting room", ["why"])


class WaitingRoom:
    """Takes jobs in. `wake(due_at)` tells the due loop of this process when the next of them is due.

    `drop_barred` drops what waits for recipients (tenant, suppression key) that are suppressed by now.
    """

    def __init__(
        self,
        pool: Pool,
        wake: Callable[[float], None],
        drop_barred: Callable[[set[tuple[str, str]]], Awaitable[None]],
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._pool = pool
        self._wake = wake
        self._drop_barred = drop_barred
        self._now = now

    async def handle(self, batch: Sequence[Incoming[LaterBatch]]) -> list[Settlement]:
        """Ack a batch when its rows are committed: at that instant the jobs wait in Postgres.

        A crash before the commit brings the batch again; a crash after it too, and then finds its rows by their key. Those that were due
        and gone in between come as repeats, so that they meet the ledger.
        """
        items = [item for incoming in batch for item in items_of(incoming)]
        for start in range(0, len(items), ROWS):
            await keep_waiting(self._pool, items[start : start + ROWS])
        if late := {(item.job.tenant_id, suppression_key(item.job.rcpt)) for item in items if came_late(item, self._now())}:
            await self._drop_barred(late)
        fail_here("scheduler.later.after_commit_before_ack")
        for item in items:
            WAITING.labels(item.why).inc()
        if items:
            self._wake(min(item.due_at for item in items))
            log.info("jobs_wait", items=len(items), first=items[0].job.delivery_id)
        return [Ack()] * len(batch)


def items_of(incoming: Incoming[LaterBatch]) -> list[LaterItem]:
    """Return the items of a message; those of one that may have been handled before are repeats."""
    if not incoming.redelivered:
        return list(incoming.value.items)
    return [replace(item, job=replace(item.job, repeat=True)) for item in incoming.value.items]
