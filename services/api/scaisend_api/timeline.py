"""What became of a mail, as GET /v3/messages/{id} tells it (contract section 9). Pure.

For an X-Message-Id: all deliveries, each with the state that we keep. For a sg_message_id: SendGrid's flat shape, its fewer states, and
`attempts` beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
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
from scaisend_common.mail.ids import DeliveryId, SubmissionId, parse_delivery_id, sg_message_id
from scaisend_common.mail.reply import Reply
from scaisend_common.mail.verdict import BounceKind

View = dict[str, object]

_decode_event: Callable[[str], Event] = msgspec.json.Decoder(Event).decode
ACCEPTED = "accepted"  # ours, and not yet on the timeline
_OPEN = frozenset(("processed", "deferred", "unknown"))
_FLAT_STATES = {"delivered": "delivered", "bounced": "not_delivered", "dropped": "not_delivered"}


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event as it is stored: `body` is the wire event as JSON."""

    kind: str
    at: datetime
    body: str


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery as it is stored, with its events in the order of their times."""

    delivery_id: DeliveryId
    to_email: str
    from_email: str
    subject: str
    state: str
    origin: str
    last_event_at: datetime
    events: tuple[EventRow, ...]


def submission_view(submission: SubmissionId, rows: list[DeliveryRow]) -> View:
    """Return what became of a submission's deliveries, in the order of the request."""
    ordered = sorted(rows, key=lambda row: parse_delivery_id(row.delivery_id) or ("", 0, 0))
    return {
        "message_id": submission,
        "status": overall([row.state for row in ordered]),
        "deliveries": [
            {
                "msg_id": sg_message_id(row.delivery_id),
                "to_email": row.to_email,
                "status": row.state,
                "events": _events_view(row),
                "attempts": _attempts_view(row),
            }
            for row in ordered
        ],
    }


def delivery_view(row: DeliveryRow) -> View:
    """Return one delivery in SendGrid's flat shape."""
    origin = msgspec.json.decode(row.origin, type=Origin)
    hops = [event.hop for _, event in _decoded(row) if isinstance(event, DeliveredEvent | DeferredEvent | BounceEvent)]
    return {
        "from_email": row.from_email,
        "msg_id": sg_message_id(row.delivery_id),
        "subject": row.subject,
        "to_email": row.to_email,
        "status": _FLAT_STATES.get(row.state, "processed"),
        "template_id": origin.template_id or "",
        "asm_group_id": origin.asm_group_id or 0,
        "teammate": "",
        "api_key_id": origin.api_key_id or "",
        "events": _events_view(row),
        "originating_ip": "",
        "categories": [*origin.categories],
        "unique_args": msgspec.json.encode(origin.custom_args).decode(),  # a string that holds JSON: so it is at SendGrid
        "outbound_ip": next((hop.source_ip for hop in reversed(hops) if hop.source_ip), ""),
        "outbound_ip_type": "dedicated",
        "attempts": _attempts_view(row),
    }


def overall(states: list[str]) -> str:
    """Return the status of a submission: that of all its deliveries where they agree, else whether it is over."""
    if not states:
        return ACCEPTED
    if len(set(states)) == 1:
        return states[0]
    return "processed" if _OPEN.intersection(states) else "not_delivered"


def iso_time(at: datetime) -> str:
    """Return an instant as `2026-11-23T20:15:30.123Z`."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _decoded(row: DeliveryRow) -> list[tuple[EventRow, Event | None]]:
    return [(event, _decode(event.body)) for event in row.events]


def _decode(body: str) -> Event | None:
    """The event, or None where a newer release wrote it."""
    try:
        return _decode_event(body)
    except msgspec.ValidationError:
        return None


def _events_view(row: DeliveryRow) -> list[View]:
    return [_event_view(stored, event) for stored, event in _decoded(row)]


def _event_view(stored: EventRow, event: Event | None) -> View:
    view: View = {"event_name": stored.kind, "processed": iso_time(stored.at)}
    match event:
        case None | ProcessedEvent():
            return view
        case DroppedEvent():
            return view | {"reason": event.reason}
        case DeferredEvent():
            return view | {"reason": _said(event.reply, event.why), "attempt_num": event.attempt} | _server(event.hop)
        case DeliveredEvent():
            return view | {"reason": str(event.reply), "attempt_num": event.attempt} | _server(event.hop)
        case BounceEvent():
            bounce: View = {
                "event_name": "bounced",
                "reason": _said(event.reply, event.why),
                "bounce_type": "hard" if event.kind is BounceKind.BOUNCE else "soft",
                "status": event.status,
                "attempt_num": event.attempt,
            }
            return view | bounce | _server(event.hop)
        case UnknownEvent():
            return view | {"reason": event.why, "attempt_num": event.attempt}
        case SpamReportEvent():
            return view | {"event_name": "spam_report"}
        case _:
            assert_never(event)


def _attempts_view(row: DeliveryRow) -> list[View]:
    return [view for stored, event in _decoded(row) if event and (view := _attempt_view(stored, event))]


def _attempt_view(stored: EventRow, event: Event) -> View:
    """What one attempt came to; empty where the event is no attempt's outcome."""
    attempt: View = {"attempt": event.attempt, "at": iso_time(stored.at)}
    match event:
        case DeliveredEvent():
            return attempt | {"verdict": "delivered", "response": str(event.reply)} | _hop_view(event.hop)
        case DeferredEvent():
            next_at = iso_time(datetime.fromtimestamp(event.next_at, UTC)) if event.next_at else None
            return attempt | {"verdict": "deferred", "response": _said(event.reply, event.why), "next_at": next_at} | _hop_view(event.hop)
        case BounceEvent(asynchronous=False) if event.attempt > 0:
            response = _said(event.reply, event.why)
            return attempt | {"verdict": "bounced", "response": response, "status": event.status} | _hop_view(event.hop)
        case UnknownEvent():
            return attempt | {"verdict": "unknown", "response": event.why}
        case _:
            return {}


def _hop_view(hop: Hop) -> View:
    return {
        "mx_server": hop.mx_host,
        "mx_ip": hop.mx_ip,
        "outbound_ip": hop.source_ip,
        "tls": hop.tls,
        "tls_version": hop.tls_version,
        "ms": hop.ms,
    }


def _server(hop: Hop) -> View:
    return {"mx_server": hop.mx_host} if hop.mx_host else {}


def _said(reply: Reply | None, why: str) -> str:
    return str(reply) if reply else why
