"""What a handler gets and what it says when it is done; what a publish can fail with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ack:
    """Done: all that follows from the message is confirmed elsewhere."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Not now: the whole consumer pauses for `after`, then the message is handled again, marked redelivered.

    With nothing to pause it goes back to its queue at once, for whoever is next. Otherwise it is kept here while it may be: each return
    to the broker counts towards the delivery limit, at which it would be parked.
    """

    after: timedelta


@dataclass(frozen=True, slots=True)
class Park:
    """Never: the message goes to `<queue>.parked` with the reason in a header, and the queue goes on."""

    why: str


Settlement = Ack | Retry | Park


@dataclass(frozen=True, slots=True)
class Incoming(Generic[T]):
    """A decoded message.

    `redelivered` means that somebody, this process included, may have handled it before; `failures` counts the broker's earlier
    deliveries. `is_suspect`: it is handled alone, as it may be what failed before.
    """

    value: T
    queue: str
    redelivered: bool
    failures: int
    is_suspect: bool = False


class Unavailable(Exception):
    """No confirm within the time-out, connection lost, or broker blocked: the message may or may not have been taken."""


class Refused(Exception):
    """The broker said no (nack): a bound is reached. Nothing was taken."""


class Unroutable(Exception):
    """No queue is bound for the key (basic.return): nothing was taken."""
