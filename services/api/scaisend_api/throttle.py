"""A token bucket: how much of something may pass, on average and at once. Pure; `now` is a monotonic clock in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class TokenBucket:
    """`rate` tokens come a second, up to `burst`, with which it begins."""

    rate: float
    burst: float
    tokens: float
    counted_at: float

    def has(self, amount: float, now: float) -> bool:
        """Tell whether so many tokens are there."""
        return amount <= self._refilled(now)

    def take(self, amount: float, now: float) -> bool:
        """Take so many tokens; tell whether they were all there. A clock that goes back brings none.

        What was not there is owed, up to a burst: who goes on beyond the rate finds none until they are slower than it for a while.
        """
        self.tokens = self._refilled(now)
        self.counted_at = now
        were_there = amount <= self.tokens
        self.tokens = max(-self.burst, self.tokens - amount)
        return were_there

    def _refilled(self, now: float) -> float:
        return min(self.burst, self.tokens + max(0.0, now - self.counted_at) * self.rate)
