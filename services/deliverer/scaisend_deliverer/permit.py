"""Whether an attempt may send its mail: what the ledger says when it is asked, just before the final dot. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scaisend_common.mail.suppression import stop_holds
from scaisend_common.messages import Job
from scaisend_common.stops import address_stop, batch_stop, delivery_stop, tenant_stop


@dataclass(frozen=True, slots=True)
class Go:
    """The attempt is ours. `holds` tells, at the last moment, whether it still is: who stood still for a while may have lost it."""

    holds: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Unsure:
    """The attempt is ours, but the ledger began anew and cannot say what is stopped."""

    holds: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Stopped:
    """It must not be sent; `reason` in the words of the dropped event."""

    reason: str


@dataclass(frozen=True, slots=True)
class Taken:
    """Somebody had this attempt before; `value` is what the claim holds: an owner or an outcome."""

    value: bytes


Permit = Go | Unsure | Stopped | Taken


def stop_keys(job: Job) -> tuple[str, str, str, str]:
    """The keys of the stops that may hold for a job: tenant, address, delivery, batch (the delivery again where there is none)."""
    delivery = delivery_stop(job.delivery_id)
    batch = batch_stop(job.tenant_id, job.batch_id) if job.batch_id else delivery
    return tenant_stop(job.tenant_id), address_stop(job.tenant_id, job.rcpt), delivery, batch


def permit_of(job: Job, prior: bytes | None, stops: Sequence[bytes | None], *, knows_stops: bool, holds: Callable[[], bool]) -> Permit:
    """Return what the ledger's answer means: `prior` is what the claim held before, `stops` in the order of `stop_keys`."""
    if prior is not None:
        return Taken(prior)
    if reason := stop_of(job, stops):
        return Stopped(reason)
    return Go(holds) if knows_stops else Unsure(holds)


def stop_of(job: Job, stops: Sequence[bytes | None]) -> str | None:
    """Return why a job is stopped, or None; `stops` in the order of `stop_keys`."""
    tenant, address, delivery, batch = stops
    if address is not None and not stop_holds(address.decode(), job.head.settings):
        address = None
    return next((each.decode() for each in (tenant, address, delivery, batch) if each is not None), None)
