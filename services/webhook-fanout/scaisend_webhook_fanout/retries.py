"""The loop that tries stored posts again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from structlog import get_logger

from scaisend_common.plumbing.postgres import DatabaseAway

log = get_logger()

MOST = 50
LEASE = timedelta(seconds=60)  # longer than a post may last, so that a living process never shares one
IDLE_SECONDS = 1.0


class Retries:
    """Runs `retry_due` until stopped; a claimed post whose process died is due again when its lease ends."""

    def __init__(self, retry_due: Callable[[int, timedelta], Awaitable[int]]) -> None:
        self._retry_due = retry_due
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Try what is due, then sleep a second; an absent database is waited for."""
        while not self._stopping.is_set():
            try:
                found = await self._retry_due(MOST, LEASE)
            except DatabaseAway as away:
                log.warning("webhook_retries_held", why=str(away))
                found = 0
            if found < MOST:
                await self._pause()

    async def stop(self) -> None:
        """End after the posts that are under way."""
        self._stopping.set()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                await self._stopping.wait()
        except TimeoutError:
            pass
