"""When a batch is complete, and who goes into it. Pure: `now` is monotonic seconds."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Batching(Generic[T]):
    """Up to `most` items, or what came within `linger` of the first; an item that goes alone is a batch by itself.

    Those that go alone take turns with whole batches, so that neither holds up the other.
    """

    def __init__(self, most: int, linger: float) -> None:
        if most < 1 or linger < 0:
            raise ValueError("a batch has at least one message, and lingers no less than 0 s")
        self._most = most
        self._linger = linger
        self._together: deque[tuple[float, T]] = deque()
        self._alone: deque[T] = deque()
        self._was_alone = False

    def __len__(self) -> int:
        return len(self._together) + len(self._alone)

    def add(self, item: T, now: float, *, alone: bool) -> None:
        """Put an item in line."""
        if alone:
            self._alone.append(item)
        else:
            self._together.append((now, item))

    def due_at(self) -> float | None:
        """When `next` has a batch, should nothing more come; None when there is nothing."""
        if self._alone:
            return 0.0
        if not self._together:
            return None
        return 0.0 if len(self._together) >= self._most else self._together[0][0] + self._linger

    def next(self, now: float) -> list[T]:
        """Return the next batch, empty when none is due."""
        is_due = bool(self._together) and (len(self._together) >= self._most or self._together[0][0] + self._linger <= now)
        if self._alone and not (is_due and self._was_alone):
            self._was_alone = True
            return [self._alone.popleft()]
        if not is_due:
            return []
        self._was_alone = False
        return [self._together.popleft()[1] for _ in range(min(self._most, len(self._together)))]

    def clear(self) -> list[T]:
        """Take everything out of the line."""
        items = [*self._alone, *(item for _, item in self._together)]
        self._alone.clear()
        self._together.clear()
        return items
