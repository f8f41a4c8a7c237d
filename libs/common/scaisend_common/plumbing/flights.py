"""One flight per key: while a value is being fetched, whoever else asks for it waits for the same fetch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Flights(Generic[K, V]):
    """Fetches under way, by key. One waiter's cancellation does not touch the others, nor the fetch."""

    def __init__(self) -> None:
        self._flying: dict[K, asyncio.Task[V]] = {}

    async def join(self, key: K, fetch: Callable[[K], Coroutine[Any, Any, V]]) -> V:
        """Return what `fetch(key)` returns, starting it unless it runs already; its exception goes to all who wait."""
        return await asyncio.shield(self.start(key, fetch))

    def start(self, key: K, fetch: Callable[[K], Coroutine[Any, Any, V]]) -> asyncio.Task[V]:
        """Start a fetch that nobody may wait for, unless it runs already."""
        task = self._flying.get(key)
        if task is None:
            task = self._flying[key] = asyncio.create_task(fetch(key))
            task.add_done_callback(lambda done: self._landed(key, done))
        return task

    def __len__(self) -> int:
        return len(self._flying)

    def _landed(self, key: K, task: asyncio.Task[V]) -> None:
        self._flying.pop(key, None)
        if not task.cancelled():
            task.exception()  # seen, even where every waiter has gone
