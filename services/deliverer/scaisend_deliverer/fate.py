"""The fate of a job in this process: what is to be written to the ledger, what is to be published. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from msgspec.structs import replace

from scaisend_common.messages import Job, WhyLater
from scaisend_common.topology import Topology
from scaisend_deliverer.earlier import Earlier, Held, InDoubt, Untried
from scaisend_deliverer.letter import Letter
from scaisend_deliverer.outcome import Outcome, events_of, later_of, put_off

CLAIMED_SECONDS = 30.0
OVERFLOW_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Fate:
    """`letter` is to be published; before that, `outcome` is to be recorded, unless it was already. `what` names it in the log."""

    what: str
    letter: Letter
    outcome: Outcome | None = None


def attempted(job: Job, outcome: Outcome) -> Fate:
    """The attempt ended so."""
    return Fate(type(outcome.ending).__name__.lower(), _letter_of(job, outcome), outcome)


def republished(job: Job, outcome: Outcome) -> Fate:
    """The attempt had ended so before: the same is published again, nothing is sent."""
    return Fate("republished", _letter_of(job, outcome))


def concluded() -> Fate:
    """The attempt had ended before, so long ago that only the timeline knows: all was published, nothing is sent."""
    return Fate("concluded", Letter())


def waits(job: Job, why: WhyLater, due_at: float, *, repeat: bool) -> Fate:
    """Nothing was tried; the same attempt is due at `due_at` (unix seconds)."""
    return Fate(why.value, Letter(later=put_off(job, why, due_at, repeat=repeat)))


def rerouted(job: Job, site: str, topology: Topology) -> Fate:
    """The router had no answer from DNS, and the path is another: the job goes to its shard at once."""
    return Fate("rerouted", Letter(elsewhere=replace(job, site=site, shard=topology.shard(job.source, site))))


def parked(job: Job, queue: str, why: str) -> Fate:
    """It cannot be handled until somebody looks; the jobs beside it in its message go on."""
    return Fate("parked", Letter(parked=(job, queue, why)))


def known(job: Job, earlier: Earlier, now: float) -> Fate | InDoubt | None:
    """Return the fate of a job that somebody may have had before: decided, in doubt, or (None) not begun."""
    match earlier:
        case Outcome():
            return republished(job, earlier)
        case Held():
            return waits(job, WhyLater.CLAIMED, now + CLAIMED_SECONDS, repeat=True)
        case InDoubt():
            return earlier
        case Untried():
            return None
        case _:
            assert_never(earlier)


def _letter_of(job: Job, outcome: Outcome) -> Letter:
    return Letter(events=events_of(job, outcome), later=later_of(job, outcome))
