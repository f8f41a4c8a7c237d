"""What becomes of a job that was stopped while it waits, before it is due. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from scaisend_common.mail.events import DroppedEvent
from scaisend_common.mail.ids import event_id, message_id
from scaisend_common.messages import Job, LaterItem, WhyLater
from scaisend_scheduler.barred import Barred

UNTRIED = (WhyLater.RETRY, WhyLater.SEND_AT)
PUT_OFF = (WhyLater.SUSPENDED, WhyLater.OVERFLOW)
LATE = 15.0  # seconds from the last look at a job's stops to its row; what is suppressed meanwhile a sweep finds all the same


def end_of_wait(job: Job, why: WhyLater, barred: Barred, *, leased_before: bool, now: float) -> DroppedEvent | Job | None:
    """Return what becomes of a job that is not due yet: its dropped event, the job for its path at once, or None where it goes on waiting.

    A retry and a scheduled send are tried by nobody before they are due, whoever may have published them twice; the deliverer's event of
    the same drop has the same id. Where a path is suspended or has no room, the same attempt may have been made by somebody else: the
    deliverer asks the ledger. What is claimed is due within half a minute. `now` in unix seconds.
    """
    reason = barred.reason_against(job.tenant_id, job.rcpt, job.head.settings)
    if reason is None:
        return None
    if why in PUT_OFF:
        return replace(job, repeat=job.repeat or leased_before)
    return dropped(job, reason, now) if why in UNTRIED else None


def dropped(job: Job, reason: str, now: float) -> DroppedEvent:
    """Return the last event of a delivery that is not tried any more."""
    return DroppedEvent(
        event_id=event_id("drop", job.attempt, job.delivery_id),
        tenant_id=job.tenant_id,
        delivery_id=job.delivery_id,
        at=now,
        email=str(job.rcpt),
        attempt=job.attempt,
        origin=job.origin,
        message_id=message_id(job.delivery_id, job.head.sender.address.domain),
        reason=reason,
    )


def came_late(item: LaterItem, now: float) -> bool:
    """Tell whether what was suppressed since somebody last asked for the stops of a job may have been swept before its row was there."""
    return item.why in UNTRIED and now - item.job.routed_at > LATE
