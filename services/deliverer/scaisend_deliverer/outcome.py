"""What follows from the end of an attempt: events, and the next attempt if there is one. Pure.

An Outcome is small enough to be written to the ledger; with its job it gives the same events and the same next job however often it is
asked (same ids, same times), so whoever finds it publishes again what may have been lost.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypedDict, assert_never

import msgspec
from msgspec.structs import replace

from scaisend_common.mail.bounce import classify
from scaisend_common.mail.events import BounceEvent, DeferredEvent, DeliveredEvent, DroppedEvent, Event, Hop, Origin, UnknownEvent
from scaisend_common.mail.ids import DeliveryId, event_id, message_id
from scaisend_common.mail.retry import GiveUp, RetryAt, RetrySchedule
from scaisend_common.mail.verdict import Bounced, BounceKind, Deferred, Delivered, Unknown, expired
from scaisend_common.messages import Job, LaterItem, WhyLater

MOST_UNKNOWNS = 3


class Dropped(msgspec.Struct, frozen=True, gc=False, tag="dropped"):
    """Stopped before it was sent; `reason` in the words of the dropped event."""

    reason: str


Ending = Delivered | Deferred | Bounced | Unknown | Dropped


class Outcome(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """How an attempt ended, at `at` (unix seconds). The next one is due at `next_at`; None: none follows.

    `given_up`: with this attempt the delivery ended, though the attempt itself did not end it.
    """

    ending: Ending
    at: float
    hop: Hop
    next_at: float | None = None
    given_up: Bounced | None = None


def conclude(job: Job, ending: Ending, hop: Hop, *, schedule: RetrySchedule, at_most_once: bool, now: float, jitter: float) -> Outcome:
    """Return the outcome of an attempt that ended at `now` (unix seconds); `jitter` in [0, 1) places the next one.

    `at_most_once`: the tenant would rather lose a mail than have it twice, so an attempt in doubt is the last.
    """
    match ending:
        case Delivered() | Bounced() | Dropped():
            return Outcome(ending, now, hop)
        case Deferred():
            next_at = _next_at(job, schedule, now, jitter)
            return Outcome(ending if next_at else expired(ending), now, hop, next_at)
        case Unknown(why):
            if at_most_once:
                return Outcome(ending, now, hop)
            if job.unknowns + 1 >= MOST_UNKNOWNS:
                in_doubt = Bounced(f"in doubt {job.unknowns + 1} times: {why}", "4.4.2", BounceKind.BLOCKED)
                return Outcome(ending, now, hop, given_up=in_doubt)
            next_at = _next_at(job, schedule, now, jitter)
            return Outcome(ending, now, hop, next_at, None if next_at else expired(Deferred(why)))
        case _:
            assert_never(ending)


def events_of(job: Job, outcome: Outcome) -> list[Event]:
    """Return the events of an outcome."""
    events = [_event_of(job, outcome, outcome.ending)]
    if outcome.given_up is not None:
        events.append(_event_of(job, outcome, outcome.given_up))
    return events


def later_of(job: Job, outcome: Outcome) -> LaterItem | None:
    """Return the next attempt's job with its due time, or None where there is none."""
    if outcome.next_at is None:
        return None
    unknowns = job.unknowns + isinstance(outcome.ending, Unknown)
    following = replace(job, attempt=job.attempt + 1, routed_at=outcome.at, repeat=False, unknowns=unknowns)
    return LaterItem(outcome.next_at, WhyLater.RETRY, following)


def put_off(job: Job, why: WhyLater, due_at: float, *, repeat: bool) -> LaterItem:
    """Return the same attempt for later: nothing was tried, so no event tells of it. Somebody else may have tried it, if `repeat`."""
    return LaterItem(due_at, why, job if job.repeat == repeat else replace(job, repeat=repeat))


def _next_at(job: Job, schedule: RetrySchedule, now: float, jitter: float) -> float | None:
    """When the next attempt is due. The delivery's life is the job's; the schedule only knows how long a life is."""
    born = datetime.fromtimestamp(job.expires_at, UTC) - schedule.lifetime
    match schedule.after(job.attempt, accepted_at=born, now=datetime.fromtimestamp(now, UTC), jitter=jitter):
        case RetryAt(at):
            return at.timestamp()
        case GiveUp():
            return None


def _event_of(job: Job, outcome: Outcome, ending: Ending) -> Event:
    match ending:
        case Delivered(reply):
            return DeliveredEvent(**_common(job, outcome, "delivered"), reply=reply, hop=outcome.hop)
        case Deferred(why, reply):
            return DeferredEvent(**_common(job, outcome, "deferred"), why=why, reply=reply, next_at=outcome.next_at or 0, hop=outcome.hop)
        case Bounced(why, status, kind, reply):
            return BounceEvent(
                **_common(job, outcome, "bounce"),
                why=why,
                status=status,
                kind=kind,
                classification=classify(reply, status, why),
                reply=reply,
                hop=outcome.hop,
            )
        case Unknown(why):
            return UnknownEvent(**_common(job, outcome, "unknown"), why=why)
        case Dropped(reason):
            return DroppedEvent(**_common(job, outcome, "drop"), reason=reason)
        case _:
            assert_never(ending)


class _Common(TypedDict):
    event_id: str
    tenant_id: str
    delivery_id: DeliveryId
    at: float
    email: str
    attempt: int
    origin: Origin
    message_id: str


def _common(job: Job, outcome: Outcome, kind: str) -> _Common:
    return {
        "event_id": event_id(kind, job.attempt, job.delivery_id),
        "tenant_id": job.tenant_id,
        "delivery_id": job.delivery_id,
        "at": outcome.at,
        "email": str(job.rcpt),
        "attempt": job.attempt,
        "origin": job.origin,
        "message_id": message_id(job.delivery_id, job.head.sender.address.domain),
    }
