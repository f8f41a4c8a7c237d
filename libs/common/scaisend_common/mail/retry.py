"""When a deferred delivery is tried again, and when it is given up (RFC 5321 4.5.4.1).

Each wait is drawn from a window; windows grow by a factor up to a cap. The draw is the caller's: the same figures give the same instant.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Try again at this instant."""

    at: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The next try would come after the end of the delivery's life."""


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """The first wait lies between `first_low` and `first_high`; later ones grow by `factor`; none is longer than `cap`."""

    first_low: timedelta = timedelta(minutes=1)
    first_high: timedelta = timedelta(minutes=5)
    factor: float = 2.0
    cap: timedelta = timedelta(hours=4)
    lifetime: timedelta = timedelta(hours=72)

    def __post_init__(self) -> None:
        if not timedelta(0) < self.first_low <= self.first_high <= self.cap <= self.lifetime or self.factor < 1:
            raise ValueError("a retry schedule needs 0 < first_low <= first_high <= cap <= lifetime and a factor of at least 1")

    def window(self, attempt: int) -> tuple[timedelta, timedelta]:
        """Return the shortest and the longest wait after the attempt of that number, counted from 1.

        The low end stops at half the cap, so that waits never fall into step.
        """
        growth = self.factor ** min(attempt - 1, 100)
        low = min(self.first_low.total_seconds() * growth, max(self.cap.total_seconds() / 2, self.first_low.total_seconds()))
        high = min(self.first_high.total_seconds() * growth, self.cap.total_seconds())
        return timedelta(seconds=low), timedelta(seconds=high)

    def after(self, attempt: int, *, accepted_at: datetime, now: datetime, jitter: float) -> RetryAt | GiveUp:
        """Return what follows the attempt of that number (from 1), deferred at `now`; `jitter` in [0, 1) places the wait in its window."""
        low, high = self.window(attempt)
        at = now + low + (high - low) * jitter
        return RetryAt(at) if at <= accepted_at + self.lifetime else GiveUp()
