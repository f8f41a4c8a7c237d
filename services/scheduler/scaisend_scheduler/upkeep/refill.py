"""The ledger's epoch: when it began; and its stops, written again from Postgres when it began anew."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from structlog import get_logger

from scaisend_common.plumbing.failpoints import fail_here
from scaisend_common.plumbing.postgres import Pool
from scaisend_common.plumbing.redis import Redis
from scaisend_common.stops import EPOCH, REFILLED
from scaisend_scheduler.stopping import LIFETIME, stop_suppressed, stop_tenants
from scaisend_scheduler.upkeep import store

log = get_logger()


class Refill:
    """Watches the ledger for a new epoch."""

    def __init__(self, pool: Pool, ledger: Redis, *, now: Callable[[], float] = time.time) -> None:
        self._pool = pool
        self._ledger = ledger
        self._now = now

    async def refill_if_new(self) -> bool:
        """Give an empty ledger its epoch, write the stops of an epoch that has not got them, then mark it; tell whether that was needed.

        Raises DatabaseAway, RedisAway. A crash before the mark writes them all again; stops that come in between are written by whoever
        commits them.
        """
        await self._ledger.set(EPOCH, f"{self._now():.3f}", nx=True)
        epoch, refilled = await self._ledger.mget(EPOCH, REFILLED)
        if epoch is None or refilled == epoch:  # None: emptied in between, and looked at again in a moment
            return False
        stopped = 0
        await stop_tenants(self._ledger, await store.suspended_tenants(self._pool))
        async for page in store.recent_suppressions(self._pool, timedelta(seconds=LIFETIME)):
            await stop_suppressed(self._ledger, page)
            stopped += len(page)
        fail_here("scheduler.upkeep.after_refill_before_mark")
        await self._ledger.set(REFILLED, epoch)
        log.warning("ledger_refilled", epoch=float(epoch), suppressions=stopped)
        return True
