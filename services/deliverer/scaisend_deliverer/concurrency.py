"""How many attempts may be under way in a process at once: fewer while its event loop is late, more while it is punctual. Pure.

Beyond what the processor can do, attempts only wait for each other inside the event loop, first come first served. Waiting in the ready
queues instead, transactional mail goes before bulk and each tenant has its turn. Where servers are slow and the processor is not busy
the loop is punctual, and hundreds are under way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

LEAST = 12  # so many of a millisecond each still keep a processor busy
LATE = 0.004  # seconds: an attempt waits for the loop some five times; beside other busy processes a loop is 1 to 2 ms late anyway
PUNCTUAL = 0.002
LOOK_EVERY = 0.02  # seconds


@dataclass(frozen=True, slots=True)
class Concurrency:
    """`allowed` attempts at once, of at most `most`."""

    most: int
    allowed: float

    @classmethod
    def up_to(cls, most: int) -> Concurrency:
        """Begin with the least."""
        return cls(most, min(LEAST, most))

    def after_look(self, lag: float, under_way: int) -> Concurrency:
        """Return the concurrency after the event loop was `lag` seconds late; it only grows where it is used."""
        if lag > LATE:
            return replace(self, allowed=max(min(LEAST, self.most), min(self.allowed, under_way) * 0.8))
        if lag < PUNCTUAL and under_way >= int(self.allowed):
            return replace(self, allowed=min(self.most, self.allowed * 1.1))
        return self
