"""When a failed post is tried again: growing intervals with full jitter, for 24 hours from the first try (contract section 11)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

LIFETIME = timedelta(hours=24)
FIRST = timedelta(seconds=10)
CAP = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class TryAt:
    """Try again at this instant."""

    at: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The events are too old: they expire, counted and logged."""


def after(tries: int, *, now: datetime, expires_at: datetime, jitter: float) -> TryAt | GiveUp:
    """Decide what follows failed try number `tries` (from 1); `jitter` in [0, 1)."""
    if now >= expires_at:
        return GiveUp()
    ceiling = min(CAP, FIRST * 2 ** min(tries - 1, 16))
    return TryAt(min(now + ceiling / 2 + ceiling / 2 * jitter, expires_at))
