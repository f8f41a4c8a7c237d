"""What is kept in memory up to a number of bytes, least recently used first out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """`most` bytes, as those who put values in count them; a value larger than that is not kept."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._size = 0

    @property
    def size(self) -> int:
        """How many bytes are kept."""
        return self._size

    def get(self, key: K) -> V | None:
        """Return what is kept under a key, if it still is."""
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V, size: int) -> None:
        """Keep a value; what has not been used for longest makes room."""
        if key in self._values:
            self._size -= self._values.pop(key)[1]
        if size > self._most:
            return
        self._values[key] = value, size
        self._size += size
        while self._size > self._most:
            _, (_, oldest) = self._values.popitem(last=False)
            self._size -= oldest
