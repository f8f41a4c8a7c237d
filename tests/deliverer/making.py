"""Jobs for the tests."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from scaisend_common.mail.address import Address, Mailbox
from scaisend_common.mail.events import Origin
from scaisend_common.mail.ids import DeliveryId, delivery_id, submission_id
from scaisend_common.messages import Content, Head, Job, Part, Stream
from scaisend_common.topology import Topology

TENANT = "0190a000-0000-7000-8000-000000000001"
OTHER = "0190a000-0000-7000-8000-000000000002"
DOMAIN = "sender.test"
CONTENT = Content((Part("text/plain", "Good day."), Part("text/html", "<p>Good day.</p>")))
NOW = 1_795_000_000.0


def an_id(number: int = 1, *, at: float = NOW) -> DeliveryId:
    return delivery_id(submission_id(int(at * 1000), number.to_bytes(10)), 0, 0)


def a_job(number: int = 1, *, to: str = "ok@plain.test", now: float | None = None, **changes: Any) -> Job:
    now = time.time() if now is None else now
    local, _, domain = to.rpartition("@")
    rcpt = Address(local, domain)
    site = changes.pop("site", domain)
    shard = changes.pop("shard", Topology().shard("default", site))
    job = Job(
        delivery_id=an_id(number, at=now),
        tenant_id=TENANT,
        attempt=1,
        accepted_at=now,
        routed_at=now,
        expires_at=now + 72 * 3600,
        stream=Stream.TRANSACTIONAL,
        group="default",
        source="default",
        site=site,
        shard=shard,
        rcpt=rcpt,
        head=Head(sender=Mailbox(Address("shop", DOMAIN), "The Shop"), to=(Mailbox(rcpt),), subject=f"Order {number}"),
        content=CONTENT,
        origin=Origin(from_email=f"shop@{DOMAIN}", subject=f"Order {number}"),
    )
    return replace(job, **changes)


def tenant(number: int) -> str:
    return str(UUID(int=number))
