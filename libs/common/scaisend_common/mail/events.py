"""Events: facts that a customer may see. A closed union; an event's id and time are fixed when it is first made.

The wire form is this module's; SendGrid's JSON is written by webhook-fanout alone.
"""

from __future__ import annotations

from typing import get_args

import msgspec

from scaisend_common.mail.ids import DeliveryId
from scaisend_common.mail.reply import Reply
from scaisend_common.mail.verdict import BounceKind


class Origin(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What the sender said of a message and gets back with each of its events, and what lists show of it."""

    from_email: str = ""
    subject: str = ""
    categories: tuple[str, ...] = ()
    custom_args: dict[str, str] = {}
    asm_group_id: int | None = None
    template_id: str | None = None
    api_key_id: str | None = None
    send_at: int | None = None
    stream: str = "transactional"


class Hop(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Where an attempt went: MX host and address, the local address, whether TLS protected it, how long it took (ms)."""

    mx_host: str = ""
    mx_ip: str = ""
    source_ip: str = ""
    tls: bool = False
    tls_version: str = ""
    ms: int = 0


class _Event(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Common to all: `at` in unix seconds; `attempt` is 0 for what happens before the first attempt, else counted from 1."""

    event_id: str
    tenant_id: str
    delivery_id: DeliveryId
    at: float
    email: str
    attempt: int = 0
    origin: Origin | None = None  # None where its maker did not know it (an asynchronous bounce)
    message_id: str = ""  # the Message-ID header, with its angle brackets


class ProcessedEvent(_Event, frozen=True, kw_only=True, tag="processed"):
    """The delivery was routed: it waits for its path."""


class DroppedEvent(_Event, frozen=True, kw_only=True, tag="dropped"):
    """The delivery will never be attempted (again); `reason` in the words of contract section 11."""

    reason: str
    status: str = ""


class DeferredEvent(_Event, frozen=True, kw_only=True, tag="deferred"):
    """An attempt failed for now; `next_at` (unix seconds) is when the next one is due."""

    why: str
    reply: Reply | None = None
    next_at: float = 0
    hop: Hop = Hop()


class DeliveredEvent(_Event, frozen=True, kw_only=True, tag="delivered"):
    """A server took the mail."""

    reply: Reply
    hop: Hop = Hop()


class BounceEvent(_Event, frozen=True, kw_only=True, tag="bounce"):
    """The delivery failed for good: at once, by expiry, or later by a DSN (`asynchronous`)."""

    why: str
    status: str
    kind: BounceKind
    classification: str = "Unclassified"
    reply: Reply | None = None
    hop: Hop = Hop()
    asynchronous: bool = False


class UnknownEvent(_Event, frozen=True, kw_only=True, tag="unknown"):
    """An attempt is in doubt. On the timeline and counted; webhooks do not carry it (SendGrid has no such event)."""

    why: str


class SpamReportEvent(_Event, frozen=True, kw_only=True, tag="spamreport"):
    """The recipient complained (RFC 5965)."""


Event = ProcessedEvent | DroppedEvent | DeferredEvent | DeliveredEvent | BounceEvent | UnknownEvent | SpamReportEvent

_OWN = {kind: tuple(name for name in kind.__struct_fields__ if name not in _Event.__struct_fields__) for kind in get_args(Event)}


def details(event: Event) -> dict[str, object]:
    """Return what this kind of event says beyond what every event does, by the names of its fields."""
    return {name: getattr(event, name) for name in _OWN[type(event)]}
