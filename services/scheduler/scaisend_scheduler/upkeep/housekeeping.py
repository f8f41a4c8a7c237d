"""Each hour: partitions made and dropped, deliveries counted that nobody accounts for."""

from __future__ import annotations

from datetime import timedelta

from prometheus_client import Gauge
from structlog import get_logger

from scaisend_common.plumbing.postgres import Pool
from scaisend_scheduler.upkeep import store

log = get_logger()
DAYS_AHEAD = 3
BLOB_DAYS = 10  # 72 h of send_at, a pause, 72 h of retries, and margin
LIFE = timedelta(hours=73)  # the last attempt starts within 72 h
UNACCOUNTED = Gauge("scaisend_unaccounted_deliveries", "Deliveries that should have ended an hour ago or more and have not")
STRAYS = Gauge("scaisend_default_partition_rows", "Rows in default partitions: 0 unless partitions were missing")


class Housekeeping:
    """Keeps tables in order. `history_days`: how long messages and events are kept."""

    def __init__(self, pool: Pool, history_days: int) -> None:
        self._pool = pool
        self._history_days = history_days

    async def keep_house(self) -> None:
        """Do all of it once. Raises DatabaseAway.

        Every step may be repeated, and by two processes at once; a crash leaves whole steps done.
        """
        made = await store.ensure_partitions(self._pool, DAYS_AHEAD)
        dropped = await store.drop_partitions(self._pool, self._history_days, BLOB_DAYS)
        strays = await store.count_in_default_partitions(self._pool)
        unaccounted = await store.count_unaccounted(self._pool, LIFE)
        STRAYS.set(strays)
        UNACCOUNTED.set(unaccounted)
        say = log.error if unaccounted or strays else log.info
        say(
            "house_kept",
            partitions_made=made,
            partitions_dropped=dropped,
            default_partition_rows=strays,
            unaccounted_deliveries=unaccounted,
        )
