"""Whether an attempt may send its mail: what the ledger says when it is asked, just before the final dot. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Go:
    """The attempt is ours. `holds` tells, at the last moment, whether it still is: who stood still for a while may have lost it."""

    holds: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Unsure:
    """The attempt is ours, but the ledger began anew and cannot say what is stopped."""

    holds: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Stopped:
    """It must not be sent; `reason` in the words of the dropped event."""

    reason: str


@dataclass(frozen=True, slots=True)
class Taken:
    """Somebody had this attempt before; `value` is what the claim holds: an owner or an outcome."""

    value: bytes


Permit = Go | Unsure | Stopped | Taken
