"""Whether Redis is there: looked at every few seconds, for /ready."""

from __future__ import annotations

import asyncio

from scaisend_common.plumbing.redis import Redis, RedisAway

EVERY = 2.0  # seconds


class RedisProbe:
    """A loop that looks."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._stopped = asyncio.Event()
        self.is_there = False

    async def run(self) -> None:
        """Look until `stop`."""
        while not self._stopped.is_set():
            try:
                await self._redis.ping()
                self.is_there = True
            except RedisAway:
                self.is_there = False
            try:
                await asyncio.wait_for(self._stopped.wait(), EVERY)
            except TimeoutError:
                continue

    async def stop(self) -> None:
        """Stop looking."""
        self._stopped.set()
