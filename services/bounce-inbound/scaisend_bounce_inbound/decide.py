"""From a report and the delivery that its return path names to the event it makes, if any. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from scaisend_bounce_inbound.report import Complaint, Failure, NoReport, Report
from scaisend_common.mail.bounce import classify
from scaisend_common.mail.events import BounceEvent, Event, Origin, SpamReportEvent
from scaisend_common.mail.ids import DeliveryId, event_id
from scaisend_common.mail.verdict import BounceKind

_GONE = "Invalid Address"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the timeline knows of the delivery that a report is about."""

    tenant_id: str
    delivery_id: DeliveryId
    email: str
    origin: Origin | None
    message_id: str


def event_of(report: Report, delivery: Delivery, now: datetime) -> Event | None:
    """Return the event, or None where the report says nothing that a customer may see.

    Its id depends on the delivery alone: a second report of the same kind is the same fact.
    """
    match report:
        case Failure(status, diagnostic):
            classification = classify(None, status, diagnostic)
            return BounceEvent(
                event_id=event_id("async-bounce", 0, delivery.delivery_id),
                tenant_id=delivery.tenant_id,
                delivery_id=delivery.delivery_id,
                at=now.timestamp(),
                email=delivery.email,
                origin=delivery.origin,
                message_id=delivery.message_id,
                why=diagnostic or f"a bounce came back with status {status}",
                status=status,
                kind=BounceKind.BOUNCE if classification == _GONE and status.startswith("5") else BounceKind.BLOCKED,
                classification=classification,
                asynchronous=True,
            )
        case Complaint():
            return SpamReportEvent(
                event_id=event_id("spamreport", 0, delivery.delivery_id),
                tenant_id=delivery.tenant_id,
                delivery_id=delivery.delivery_id,
                at=now.timestamp(),
                email=delivery.email,
                origin=delivery.origin,
                message_id=delivery.message_id,
            )
        case NoReport():
            return None
        case _:
            assert_never(report)
