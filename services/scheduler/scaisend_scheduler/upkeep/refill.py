"""The ledger's epoch: stops are written again from Postgres into a ledger that began anew, and then it is given the epoch.

While it has none, deliverers look for stops in Postgres and let repeats wait.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import cast

from structlog import get_logger

from scaisend_common.plumbing.failpoints import fail_here
from scaisend_common.plumbing.postgres import Pool
from scaisend_common.plumbing.redis import Redis
from scaisend_common.stops import EPOCH
from scaisend_scheduler.stopping import LIFETIME, stop_suppressed, stop_tenants
from scaisend_scheduler.upkeep import store

log = get_logger()
MARK_SECONDS = 3600  # a refill takes seconds; its mark must only outlive it

# The epoch is given only if the mark that was set before the first stop is still there: otherwise the ledger was emptied once more.
_BEGIN = "if redis.call('EXISTS', KEYS[2]) == 1 then return redis.call('SET', KEYS[1], ARGV[1], 'NX') end return false"


class Refill:
    """Watches the ledger for a new epoch."""

    def __init__(self, pool: Pool, ledger: Redis, *, now: Callable[[], float] = time.time) -> None:
        self._pool = pool
        self._ledger = ledger
        self._now = now

    async def refill_if_new(self) -> bool:
        """Write all stops into a ledger without epoch, then begin its epoch; tell whether that was done. Raises DatabaseAway, RedisAway.

        At that instant an absent stop means that nothing is stopped. A crash before it writes them all again; what is suppressed
        meanwhile is written by whoever commits it.
        """
        if await self._ledger.exists(EPOCH):
            return False
        noticed_at = f"{self._now():.3f}"
        mark = f"ledger:refill:{noticed_at}"
        await self._ledger.set(mark, 1, ex=MARK_SECONDS)
        stopped = await self._write_stops()
        fail_here("scheduler.upkeep.after_refill_before_epoch")
        began = await cast("Awaitable[object]", self._ledger.eval(_BEGIN, 2, EPOCH, mark, noticed_at))
        log.warning("ledger_refilled", epoch=noticed_at, suppressions=stopped, began=bool(began))
        return bool(began)

    async def _write_stops(self) -> int:
        """Write the stops of suspended tenants and of suppressions young enough that mail of before may still wait; return how many."""
        tenants = await store.suspended_tenants(self._pool)
        await stop_tenants(self._ledger, tenants)
        stopped = len(tenants)
        async for page in store.recent_suppressions(self._pool, timedelta(seconds=LIFETIME)):
            await stop_suppressed(self._ledger, page)
            stopped += len(page)
        return stopped
