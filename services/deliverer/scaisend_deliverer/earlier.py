"""What is known of an attempt that somebody may have had before: by the ledger, and where it has forgotten, by the timeline. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from scaisend_common.messages import Job
from scaisend_deliverer.outcome import Outcome

OUTCOME_SECONDS = 3600  # that the ledger knows an outcome after all that follows from it was published
MARGIN_SECONDS = 300  # by which clocks may differ


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


@dataclass(frozen=True, slots=True)
class Told:
    """What the timeline tells of a delivery: the last attempt that it knows, and whether the delivery has ended."""

    attempt: int
    ended: bool


def may_be_forgotten(job: Job, now: float) -> bool:
    """Tell whether the ledger may have known an outcome of a job and forgotten it; `now` in unix seconds."""
    return now - job.routed_at > OUTCOME_SECONDS - MARGIN_SECONDS


def is_concluded(job: Job, told: Told | None) -> bool:
    """Tell whether the timeline knows the end of this attempt. The ledger forgets only what was published, so all that follows is known."""
    return told is not None and (told.ended or told.attempt >= job.attempt)
