"""What the ledger knows of an attempt that somebody may have had before. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from scaisend_deliverer.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Untried:
    """Nobody has had this attempt."""


@dataclass(frozen=True, slots=True)
class Held:
    """Somebody who lives has it."""

    owner: str


@dataclass(frozen=True, slots=True)
class InDoubt:
    """Somebody may have sent it, and cannot be asked."""

    why: str


Earlier = Untried | Held | InDoubt | Outcome
