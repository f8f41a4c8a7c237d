"""From batches of events to committed rows."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import Counter
from structlog import get_logger

from scaisend_common.mail.events import Event
from scaisend_common.messages import EventBatch
from scaisend_common.plumbing.amqp import Ack, Incoming, Settlement
from scaisend_common.plumbing.failpoints import fail_here
from scaisend_common.plumbing.postgres import Pool
from scaisend_common.plumbing.redis import Redis
from scaisend_scheduler.record.store import record_events
from scaisend_scheduler.stopping import Suppressed, stop_suppressed

log = get_logger()
ROWS = 500  # events a transaction: Postgres takes 13 µs for each, 16 with a hundred at once; more would hold the router's loop for long
RECORDED = Counter("scaisend_recorded_events", "Events taken from the queue, new or known before", ["novelty"])


class Recorder:
    """Records events."""

    def __init__(self, pool: Pool, ledger: Redis) -> None:
        self._pool = pool
        self._ledger = ledger

    async def handle(self, batch: Sequence[Incoming[EventBatch]]) -> list[Settlement]:
        """Ack a batch when its events are committed and the stops that follow are in the ledger: at that instant they are history.

        A crash before the commit leaves nothing; a crash after it, or an absent ledger, brings the events again: known ones change
        nothing, but the stops of suppressions that still stand are written once more.
        """
        events = [event for incoming in batch for event in incoming.value.events]
        for start in range(0, len(events), ROWS):
            await self._record(events[start : start + ROWS])
        fail_here("scheduler.record.after_stops_before_ack")
        return [Ack()] * len(batch)

    async def _record(self, events: Sequence[Event]) -> None:
        fail_here("scheduler.record.before_commit")
        new, standing = await record_events(self._pool, events)
        fail_here("scheduler.record.after_commit_before_stops")
        await stop_suppressed(self._ledger, (Suppressed(each.tenant_id, each.address, each.kind) for each in standing))
        RECORDED.labels("new").inc(new)
        RECORDED.labels("known").inc(len(events) - new)
        log.info("events_recorded", events=len(events), new=new, suppressions=len(standing))
