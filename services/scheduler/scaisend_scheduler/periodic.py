"""Work that is done at the start and then from time to time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

from structlog import get_logger

from scaisend_common.plumbing.amqp import Refused, Unavailable, Unroutable
from scaisend_common.plumbing.postgres import DatabaseAway
from scaisend_common.plumbing.redis import RedisAway

log = get_logger()
OUTAGES = (DatabaseAway, RedisAway, Unavailable, Refused, Unroutable)  # wait for these, and park nothing: it is somebody's mail


class Periodic:
    """Does `work` every so often; after an outage, again after `retry`."""

    def __init__(self, name: str, work: Callable[[], Awaitable[object]], *, every: timedelta, retry: timedelta) -> None:
        self._name = name
        self._work = work
        self._every = every
        self._retry = retry
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Work and rest until stopped."""
        while not self._stopping.is_set():
            rest = await self._try()
            with suppress(TimeoutError):
                async with asyncio.timeout(rest.total_seconds()):
                    await self._stopping.wait()

    async def stop(self) -> None:
        """End after the work that is under way."""
        self._stopping.set()

    async def _try(self) -> timedelta:
        try:
            await self._work()
        except OUTAGES as away:
            log.warning("work_held", work=self._name, why=f"{type(away).__name__}: {away}")
            return self._retry
        return self._every
