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

    def take(self, amount: float, now: float) -> bool:
        """Take so many tokens if they are there; else take none. A clock that goes back brings none."""
        self.tokens = min(self.burst, self.tokens + max(0.0, now - self.counted_at) * self.rate)
        self.counted_at = now
        if amount > self.tokens:
            return False
        self.tokens -= amount
        return True
