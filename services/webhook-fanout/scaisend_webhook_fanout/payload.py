"""Events as SendGrid's JSON: the one place where its words for them are written (contract sections 11 and 12).

A post is a JSON array; events stand one a line between `,\\r\\n` and the body ends with `]\\r\\n`, as captured: receivers verify the bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

import msgspec

from scaisend_common.mail.events import (
    BounceEvent,
    DeferredEvent,
    DeliveredEvent,
    DroppedEvent,
    Event,
    Hop,
    Origin,
    ProcessedEvent,
    SpamReportEvent,
    UnknownEvent,
)
from scaisend_common.mail.ids import sg_message_id
from scaisend_common.mail.verdict import BounceKind

MAX_BODY = 768 * 1024  # bytes of events that close a post
JSON = str | int | list[str]

_encode = msgspec.json.Encoder(order="sorted").encode


def flag_of(event: Event) -> str | None:
    """Return the settings flag that switches this event on, or None for what webhooks never carry."""
    match event:
        case ProcessedEvent():
            return "processed"
        case DroppedEvent():
            return "dropped"
        case DeferredEvent():
            return "deferred"
        case DeliveredEvent():
            return "delivered"
        case BounceEvent():
            return "bounce"
        case SpamReportEvent():
            return "spam_report"
        case UnknownEvent():
            return None
        case _:
            assert_never(event)


def event_json(event: Event) -> bytes:
    """Return one event as compact JSON with sorted keys. The sender's custom_args stand at its top level, under our keys."""
    fields: dict[str, JSON] = dict(event.origin.custom_args) if event.origin else {}
    fields |= {
        "email": event.email,
        "timestamp": int(event.at),
        "sg_event_id": event.event_id,
        "sg_message_id": sg_message_id(event.delivery_id),
    }
    if event.message_id:
        fields["smtp-id"] = event.message_id
    if event.origin:
        fields |= _of_origin(event.origin)
    return _encode(fields | _of_kind(event))


def body_of(events: Iterable[bytes]) -> bytes:
    """Return the body of one post from events already written as JSON."""
    return b"[" + b",\r\n".join(events) + b"]\r\n"


def _of_origin(origin: Origin) -> dict[str, JSON]:
    fields: dict[str, JSON] = {}
    if origin.categories:
        fields["category"] = list(origin.categories)
    if origin.asm_group_id is not None:
        fields["asm_group_id"] = origin.asm_group_id
    if origin.template_id:
        fields["sg_template_id"] = origin.template_id
    return fields


def _of_kind(event: Event) -> dict[str, JSON]:
    match event:
        case ProcessedEvent():
            return {"event": "processed", "send_at": event.origin.send_at or 0 if event.origin else 0}
        case DroppedEvent():
            return {"event": "dropped", "reason": event.reason, **({"status": event.status} if event.status else {})}
        case DeferredEvent():
            return {
                "event": "deferred",
                "response": str(event.reply) if event.reply else event.why,
                "attempt": str(event.attempt - 1),  # SendGrid counts attempts from 0, in a string
                "domain": event.email.rpartition("@")[2],
            } | _of_hop(event.hop)
        case DeliveredEvent():
            return {"event": "delivered", "response": str(event.reply)} | _of_hop(event.hop)
        case BounceEvent():
            return {
                "event": "bounce",
                "type": "blocked" if event.kind is BounceKind.BLOCKED else "bounce",
                "reason": str(event.reply) if event.reply else event.why,
                "status": event.status,
                "bounce_classification": event.classification,
            } | _of_hop(event.hop)
        case SpamReportEvent():
            return {"event": "spamreport"}
        case UnknownEvent():
            raise ValueError("webhooks do not carry attempts in doubt")
        case _:
            assert_never(event)


def _of_hop(hop: Hop) -> dict[str, JSON]:
    fields: dict[str, JSON] = {}
    if hop.mx_ip:
        fields["tls"] = int(hop.tls)
    if hop.source_ip:
        fields["ip"] = hop.source_ip
    return fields
