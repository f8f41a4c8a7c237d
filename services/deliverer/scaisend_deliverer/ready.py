"""The ready queue of one path: jobs that wait for a connection, in memory, bounded, fair between tenants. Pure.

Each stream has a line per tenant, and the tenants of a stream take turns. Of five turns transactional mail has four and bulk mail one,
as long as both wait, so that neither starves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from scaisend_common.messages import Stream

SHARE = 4  # turns of transactional mail to one of bulk mail

T = TypeVar("T")


class TenantTurns(Generic[T]):
    """One stream: first in, first out within a tenant; tenants in turn. `most` in all."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lines: dict[str, deque[T]] = {}  # in the order of turns; no line is empty
        self.size = 0
        """How many wait."""

    def put(self, tenant_id: str, item: T) -> T | None:
        """Take an item in. Return what has no room: nothing, or the newest item of the tenant with the longest line."""
        self._lines.setdefault(tenant_id, deque()).append(item)
        self.size += 1
        return self.pop_newest() if self.size > self._most else None

    def pop(self) -> T | None:
        """Return the item whose turn it is."""
        if not self.size:
            return None
        tenant_id = next(iter(self._lines))
        line = self._lines.pop(tenant_id)
        item = line.popleft()
        if line:
            self._lines[tenant_id] = line
        self.size -= 1
        return item

    @property
    def longest(self) -> int:
        """How many items the longest line has."""
        return max(map(len, self._lines.values()), default=0)

    def pop_newest(self) -> T:
        """Return the newest item of the longest line: who has most waiting, waits."""
        tenant_id = max(self._lines, key=lambda each: len(self._lines[each]))
        return self._drop(tenant_id, self._lines[tenant_id].pop())

    def take_where(self, wanted: Callable[[T], bool]) -> list[T]:
        """Take out all that `wanted` says yes to."""
        taken: list[T] = []
        for tenant_id, line in list(self._lines.items()):
            kept: deque[T] = deque()
            for item in line:
                (taken if wanted(item) else kept).append(item)
            if kept:
                self._lines[tenant_id] = kept
            else:
                del self._lines[tenant_id]
            self.size -= len(line) - len(kept)
        return taken

    def _drop(self, tenant_id: str, item: T) -> T:
        if not self._lines[tenant_id]:
            del self._lines[tenant_id]
        self.size -= 1
        return item


class ReadyQueue(Generic[T]):
    """Both streams of a path; `most` bounds each."""

    def __init__(self, most: int) -> None:
        self._transactional: TenantTurns[T] = TenantTurns(most)
        self._bulk: TenantTurns[T] = TenantTurns(most)
        self._turn = 0

    def __len__(self) -> int:
        return self._transactional.size + self._bulk.size

    def put(self, stream: Stream, tenant_id: str, item: T) -> T | None:
        """Take an item in; return what has to wait elsewhere, if anything has."""
        return (self._transactional if stream is Stream.TRANSACTIONAL else self._bulk).put(tenant_id, item)

    def pop(self) -> T | None:
        """Return the item whose turn it is, or None where nothing waits."""
        if not (self._bulk.size and self._transactional.size):
            return self._transactional.pop() or self._bulk.pop()
        self._turn = (self._turn + 1) % (SHARE + 1)
        return self._bulk.pop() if self._turn == 0 else self._transactional.pop()

    def pop_urgent(self) -> T | None:
        """Return the transactional item that waits alone, or None: where several wait, tenants have their turns."""
        return self._transactional.pop() if self._transactional.size == 1 else None

    def trim(self, keep: int) -> list[T]:
        """Take out the newest of the longest line, of either stream, until `keep` are left: who has most waiting, waits."""
        taken: list[T] = []
        while len(self) > keep:
            longest = max(self._bulk, self._transactional, key=lambda turns: turns.longest)
            taken.append(longest.pop_newest())
        return taken

    def take_where(self, wanted: Callable[[T], bool]) -> list[T]:
        """Take out all that `wanted` says yes to."""
        return self._transactional.take_where(wanted) + self._bulk.take_where(wanted)
