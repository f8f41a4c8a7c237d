"""Folding: what a batch of new events makes of messages, statistics and suppressions. Pure.

A message's state advances by (finality, attempt, rank) and never goes back, in whatever order events come: the tens of `rank` are its
finality (0 open, 1 closed, 2 closed by a bounce that came back after the mail was taken). The same order is in the SQL that merges.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple, assert_never

import msgspec

from scaisend_common.mail.bounce import suppresses
from scaisend_common.mail.events import (
    BounceEvent,
    DeferredEvent,
    DeliveredEvent,
    DroppedEvent,
    Event,
    Origin,
    ProcessedEvent,
    SpamReportEvent,
    UnknownEvent,
)
from scaisend_common.mail.ids import DeliveryId, SubmissionId, made_at, submission_of
from scaisend_common.mail.suppression import SuppressionKind
from scaisend_common.mail.verdict import BounceKind


class State(NamedTuple):
    """A message's state: its name in the table, the attempt it comes from, and its rank."""

    name: str
    attempt: int
    rank: int

    @property
    def place(self) -> tuple[int, int, int]:
        """What later states have more of."""
        return self.rank // 10, self.attempt, self.rank


class MessageChange(msgspec.Struct, frozen=True, gc=False):  # a Struct for its speed
    """What a batch says of one delivery: the furthest state, the first origin and Message-ID told, the last event's time."""

    tenant_id: str
    day: date
    delivery_id: DeliveryId
    to_email: str
    state: State
    origin: Origin | None
    message_id: str
    accepted_at: float
    last_event_at: float

    def merged(self, later: MessageChange) -> MessageChange:
        """Return this change and another of the same delivery as one."""
        return MessageChange(
            self.tenant_id,
            self.day,
            self.delivery_id,
            self.to_email,
            max(self.state, later.state, key=lambda state: state.place),
            self.origin or later.origin,
            self.message_id or later.message_id,
            self.accepted_at,
            max(self.last_event_at, later.last_event_at),
        )


class Statistic(StrEnum):
    """The columns of stats_daily, in their order."""

    PROCESSED = "processed"
    DELIVERED = "delivered"
    DEFERRED = "deferred"
    BOUNCES = "bounces"
    BLOCKS = "blocks"
    DROPS = "drops"
    SPAM_REPORTS = "spam_reports"
    UNKNOWNS = "unknowns"


@dataclass(frozen=True, slots=True)
class Count:
    """How many events of each kind a tenant had on a day (the UTC day of the events)."""

    tenant_id: str
    day: date
    of: Counter[Statistic]


@dataclass(frozen=True, slots=True)
class Suppression:
    """An address that is not to be written to any more, and the words that said so."""

    tenant_id: str
    address: str
    kind: SuppressionKind
    reason: str
    status: str
    at: float


@dataclass(frozen=True, slots=True)
class Changes:
    """What new events change, each list in the order of its table's key: transactions that meet lock in the same order."""

    messages: list[MessageChange]
    counts: list[Count]
    suppressions: list[Suppression]


def fold(events: Iterable[Event]) -> Changes:
    """Return what these events change; all of one delivery are one change of its message."""
    messages: dict[tuple[str, str], MessageChange] = {}
    counts: dict[tuple[str, date], Counter[Statistic]] = defaultdict(Counter)
    suppressions: dict[tuple[str, str, str], Suppression] = {}
    for event in events:
        change = change_of(event)
        key = (event.tenant_id, event.delivery_id)
        known = messages.get(key)
        messages[key] = change if known is None else known.merged(change)
        counts[event.tenant_id, utc_day(event.at)][statistic_of(event)] += 1
        if suppression := suppression_of(event):
            suppressions.setdefault((suppression.tenant_id, suppression.address, suppression.kind), suppression)
    return Changes(
        [messages[key] for key in sorted(messages)],
        [Count(*key, counts[key]) for key in sorted(counts)],
        [suppressions[key] for key in sorted(suppressions)],
    )


def change_of(event: Event) -> MessageChange:
    """Return what one event says of its message."""
    day, accepted_at = _acceptance(submission_of(event.delivery_id))
    return MessageChange(
        event.tenant_id,
        day,
        event.delivery_id,
        event.email,
        state_of(event),
        event.origin,
        event.message_id,
        accepted_at,
        event.at,
    )


def state_of(event: Event) -> State:
    """Return the state that an event alone would put its message into."""
    match event:
        case ProcessedEvent():
            return State("processed", event.attempt, 0)
        case DeferredEvent():
            return State("deferred", event.attempt, 1)
        case UnknownEvent():
            return State("unknown", event.attempt, 2)
        case DroppedEvent():
            return State("dropped", event.attempt, 10)
        case DeliveredEvent() | SpamReportEvent():  # who complains has got it
            return State("delivered", event.attempt, 11)
        case BounceEvent(asynchronous=False):
            return State("bounced", event.attempt, 12)
        case BounceEvent():
            return State("bounced", event.attempt, 20)
        case _:
            assert_never(event)


def statistic_of(event: Event) -> Statistic:
    """Return the column of stats_daily that an event counts in."""
    match event:
        case ProcessedEvent():
            return Statistic.PROCESSED
        case DroppedEvent():
            return Statistic.DROPS
        case DeferredEvent():
            return Statistic.DEFERRED
        case DeliveredEvent():
            return Statistic.DELIVERED
        case BounceEvent(kind=BounceKind.BOUNCE):
            return Statistic.BOUNCES
        case BounceEvent():
            return Statistic.BLOCKS
        case UnknownEvent():
            return Statistic.UNKNOWNS
        case SpamReportEvent():
            return Statistic.SPAM_REPORTS
        case _:
            assert_never(event)


def suppression_of(event: Event) -> Suppression | None:
    """Return the suppression that an event causes, if it does: the address is gone, or its owner complained."""
    match event:
        case BounceEvent(kind=kind, status=status, classification=classification) if suppresses(kind, status, classification):
            reason = str(event.reply) if event.reply else event.why
            return Suppression(event.tenant_id, event.email.lower(), SuppressionKind.BOUNCE, reason, status, event.at)
        case SpamReportEvent():
            return Suppression(event.tenant_id, event.email.lower(), SuppressionKind.SPAMREPORT, "", "", event.at)
        case _:
            return None


def event_day(event: Event) -> date:
    """Return the UTC day of the event's submission: its partition, the same for every copy of the event."""
    day, _ = _acceptance(submission_of(event.delivery_id))
    return day


def utc_day(at: float) -> date:
    """Return the UTC day of an instant in unix seconds."""
    return _day_number(int(at // 86400))


@lru_cache(maxsize=8192)
def _acceptance(submission: SubmissionId) -> tuple[date, float]:
    """The UTC day and the instant of acceptance."""
    accepted_at = made_at(submission)
    return accepted_at.date(), accepted_at.timestamp()


@lru_cache(maxsize=64)
def _day_number(days: int) -> date:
    """The UTC day that begins so many days after the first of 1970."""
    return date(1970, 1, 1) + timedelta(days=days)
