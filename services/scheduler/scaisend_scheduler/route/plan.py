"""The plan for a load of deliveries: which become jobs, which wait for their send_at, which are dropped, and what is told of each. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from scaisend_common.mail.events import DroppedEvent, Event, ProcessedEvent
from scaisend_common.mail.ids import event_id, message_id
from scaisend_common.messages import Job, LaterItem, WhyLater
from scaisend_scheduler.barred import Barred
from scaisend_scheduler.route.expand import Delivery
from scaisend_scheduler.route.screen import reason_to_drop
from scaisend_scheduler.routing import Egress, Route, route_of

DueAt = Callable[[Job], float | None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be published for a load of deliveries: each is in `jobs` or in `waiting` with a processed event, or has a dropped one."""

    jobs: list[Job] = field(default_factory=list)
    waiting: list[LaterItem] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


def plan_of(
    load: Iterable[Delivery],
    barred: Barred,
    sites: Mapping[str, str],
    egress: Egress,
    now: float,
    *,
    due_at: DueAt = lambda _job: None,
) -> Plan:
    """Return the plan; `sites` by recipient domain, `now` in unix seconds, `due_at`: until when a job waits for want of credit; should this
    be done twice, the other copy may be long forgotten by then, so it comes back as a repeat.

    Nothing goes out before its send_at.
    """
    plan = Plan()
    for delivery in load:
        if reason := reason_to_drop(delivery, barred):
            plan.events.append(dropped(delivery, reason, now))
            continue
        send_at = delivery.message.send_at or 0
        job = job_of(delivery, route_of(sites[delivery.rcpt.domain], egress), now)
        if send_at > now:
            plan.waiting.append(LaterItem(float(send_at), WhyLater.SEND_AT, job))
        elif (later := due_at(job)) is not None:
            plan.waiting.append(LaterItem(later, WhyLater.OVERFLOW, replace(job, repeat=True)))
        else:
            plan.jobs.append(job)
        plan.events.append(processed(delivery))
    return plan


def job_of(delivery: Delivery, route: Route, now: float) -> Job:
    """Return the first job of a delivery.

    Where somebody may have routed it before, `routed_at` is the earliest instant at which that can have been, so that a ledger which
    began since then cannot vouch for it.
    """
    message = delivery.message
    return Job(
        delivery_id=delivery.delivery_id,
        tenant_id=message.tenant_id,
        attempt=1,
        accepted_at=message.accepted_at,
        routed_at=message.accepted_at if message.repeat else now,
        expires_at=message.expires_at,
        stream=message.stream,
        group=route.group,
        source=route.source,
        site=route.site,
        shard=route.shard,
        rcpt=delivery.rcpt,
        head=message.head,
        content=message.content,
        origin=message.origin,
        batch_id=message.batch_id,
        repeat=message.repeat,
    )


def processed(delivery: Delivery) -> ProcessedEvent:
    """Return the first event of a delivery that goes on. Its time is the acceptance, so that a repetition is the same event."""
    message = delivery.message
    return ProcessedEvent(
        event_id=event_id("processed", 0, delivery.delivery_id),
        tenant_id=message.tenant_id,
        delivery_id=delivery.delivery_id,
        at=message.accepted_at,
        email=str(delivery.rcpt),
        origin=message.origin,
        message_id=message_id(delivery.delivery_id, message.head.sender.address.domain),
    )


def dropped(delivery: Delivery, reason: str, now: float) -> DroppedEvent:
    """Return the only event of a delivery that is never attempted."""
    message = delivery.message
    return DroppedEvent(
        event_id=event_id("drop", 0, delivery.delivery_id),
        tenant_id=message.tenant_id,
        delivery_id=delivery.delivery_id,
        at=now,
        email=str(delivery.rcpt),
        origin=message.origin,
        message_id=message_id(delivery.delivery_id, message.head.sender.address.domain),
        reason=reason,
    )
