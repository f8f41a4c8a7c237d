"""What is read from Postgres on every request, kept for a minute: so accepting mail asks no database.

At most 60 s old; up to an hour while Postgres is unreachable. What is asked for again shortly before it gets old is read anew in the
background, so nobody waits. Unknown keys are remembered for seconds only, apart from the rest: nobody can flush the cache by guessing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from time import monotonic
from typing import Any, Generic, NamedTuple, TypeVar

from scaisend_common.plumbing.flights import Flights
from scaisend_common.plumbing.postgres import DatabaseAway

FRESH, RENEWED, STALE, UNKNOWN, AWAY = 60.0, 45.0, 3600.0, 2.0, 2.0  # seconds
LOOK_SECONDS = 2.5  # the longest look at the database
MOST = 100_000  # entries
STRANGERS_AT_ONCE = 4  # looks for keys that are not known: guessing takes no connection from those who are

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Entry(NamedTuple, Generic[V]):
    read_at: float  # when reading began
    value: V
    is_current: bool  # False: something may have changed since, and was missed


class Cache(Generic[K, V]):
    """Values by key, None for an unknown one. `load` reads one and raises DatabaseAway; `now` is a monotonic clock in seconds."""

    def __init__(self, load: Callable[[K], Coroutine[Any, Any, V | None]], now: Callable[[], float] = monotonic) -> None:
        self._load = load
        self._now = now
        self._known: dict[K, _Entry[V]] = {}
        self._unknown: dict[K, float] = {}
        self._flights: Flights[K, V | None] = Flights()
        self._renewals: dict[K, asyncio.Task[None]] = {}
        self._strangers = asyncio.Semaphore(STRANGERS_AT_ONCE)
        self._generation = 0
        self._away_until = 0.0

    async def get(self, key: K) -> V | None:
        """Return the value of a key. Raises DatabaseAway where none is kept and none can be read."""
        now = self._now()
        entry = self._known.get(key)
        if entry is not None and entry.is_current and now - entry.read_at < FRESH:
            if now - entry.read_at > RENEWED and now > self._away_until:
                self._renew(key)
            return entry.value
        if entry is None and now - self._unknown.get(key, -UNKNOWN) < UNKNOWN:
            return None
        return await self._read(key, entry)

    def forget(self, matches: Callable[[V], bool]) -> None:
        """Drop the values that match, and all that is remembered as unknown."""
        self._generation += 1
        self._known = {key: entry for key, entry in self._known.items() if not matches(entry.value)}
        self._unknown.clear()

    def doubt(self) -> None:
        """Read everything anew when it is next asked for; until then it may be served while Postgres is unreachable."""
        self._generation += 1
        self._known = {key: entry._replace(is_current=False) for key, entry in self._known.items()}
        self._unknown.clear()

    async def _read(self, key: K, entry: _Entry[V] | None) -> V | None:
        is_usable = entry is not None and self._now() - entry.read_at < STALE
        if not (is_usable and self._now() < self._away_until):
            try:
                return await self._flights.join(key, self._fetch)
            except DatabaseAway:
                if not is_usable:
                    raise
        assert entry is not None
        return entry.value

    async def _fetch(self, key: K) -> V | None:
        if key in self._known:
            return await self._look(key)
        async with self._strangers:
            return await self._look(key)

    async def _look(self, key: K) -> V | None:
        began_at, generation = self._now(), self._generation
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                value = await self._load(key)
        except (DatabaseAway, TimeoutError) as error:
            self._away_until = self._now() + AWAY
            raise DatabaseAway(str(error) or "the database does not answer") from error
        self._away_until = 0.0
        if generation == self._generation:  # what was read before a flush may be what the flush is about
            self._keep(key, value, began_at)
        return value

    def _keep(self, key: K, value: V | None, began_at: float) -> None:
        if value is None:
            self._known.pop(key, None)
            if len(self._unknown) >= MOST:
                self._unknown.clear()
            self._unknown[key] = began_at
            return
        self._unknown.pop(key, None)
        while len(self._known) >= MOST:
            self._known.pop(next(iter(self._known)))
        self._known[key] = _Entry(began_at, value, is_current=True)

    def _renew(self, key: K) -> None:
        if key not in self._renewals:
            task = self._renewals[key] = asyncio.create_task(self._renewed(key))
            task.add_done_callback(lambda _: self._renewals.pop(key, None))

    async def _renewed(self, key: K) -> None:
        try:
            await self._flights.join(key, self._fetch)
        except DatabaseAway:
            return  # what is kept serves on
