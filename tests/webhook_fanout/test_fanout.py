from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from os import urandom
from time import time
from uuid import uuid4

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sendgrid.helpers.eventwebhook import EventWebhook

from scaisend_common.mail.events import Event, Origin, ProcessedEvent, SpamReportEvent
from scaisend_common.mail.ids import delivery_id, event_id, submission_id
from scaisend_common.messages import EventBatch
from scaisend_common.plumbing.amqp import Ack, Incoming
from scaisend_common.plumbing.crypto import KeyRing, new_key_ring, seal
from scaisend_common.plumbing.postgres import open_pool
from scaisend_webhook_fanout import store
from scaisend_webhook_fanout.endpoint import Endpoints
from scaisend_webhook_fanout.fanout import Fanout
from scaisend_webhook_fanout.poster import Poster
from scaisend_webhook_fanout.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER

KEK = KeyRing.parse(new_key_ring())
KEY = generate_private_key(SECP256R1())


@dataclass
class Room:
    fanout: Fanout
    endpoints: Endpoints
    tenant_id: str
    admin: asyncpg.Connection
    clock: list[datetime]

    async def endpoint(self, url: str, *kinds: str, signed: bool = False) -> None:
        endpoint = uuid4()
        der = KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        kid, sealed = seal(KEK, der, store.bound_to(self.tenant_id, str(endpoint)))
        await self.admin.execute(
            "INSERT INTO webhook_endpoints (tenant_id, id, url, enabled, kinds, signed, sealed_key, kek_kid) VALUES ($1, $2, $3, true, $4, $5, $6, $7)",
            self.tenant_id, endpoint, url, list(kinds), signed, sealed, kid,
        )  # fmt: skip
        await self.endpoints.forget_all()

    def event(self, **changes: object) -> ProcessedEvent:
        delivery = delivery_id(submission_id(int(time() * 1000), urandom(10)), 0, 0)
        fields = {
            "event_id": event_id("processed", 0, delivery),
            "tenant_id": self.tenant_id,
            "delivery_id": delivery,
            "at": time(),
            "email": "a@b.test",
            "origin": Origin(),
        }
        return ProcessedEvent(**(fields | changes))  # type: ignore[arg-type]

    async def handle(self, *events: Event) -> None:
        assert await self.fanout.handle(Incoming(EventBatch(events), "webhook.0", redelivered=False, failures=0)) == Ack()

    async def stored(self) -> int:
        return int(await self.admin.fetchval("SELECT count(*) FROM webhook_batches"))


@pytest.fixture
async def room(postgres_dsn: str, service_dsn: Callable[[str], str]) -> AsyncIterator[Room]:
    admin = await asyncpg.connect(postgres_dsn)
    tenant = await admin.fetchval(
        "WITH p AS (INSERT INTO partners (slug, name) VALUES ('p', 'p') RETURNING id) INSERT INTO tenants (partner_id, slug, name) SELECT id, 't', 't' FROM p RETURNING id"
    )
    clock = [datetime.now(UTC)]
    async with open_pool(service_dsn("webhook_fanout"), name="test") as pool, Poster(allow_private=True, total_seconds=2) as poster:
        endpoints = Endpoints(lambda tenant_id: store.read_endpoints(pool, KEK, tenant_id))
        yield Room(
            Fanout(pool, endpoints, poster, window=timedelta(milliseconds=50), now=lambda: clock[0]), endpoints, str(tenant), admin, clock
        )
    await admin.close()


async def test_events_of_one_second_are_one_signed_post(room: Room, endpoint_server) -> None:  # type: ignore[no-untyped-def]
    await room.endpoint(endpoint_server.url(), "processed", signed=True)
    events = [room.event() for _ in range(20)]
    await asyncio.gather(*(room.handle(event) for event in events))
    ((_, headers, body),) = endpoint_server.posts
    assert {each["sg_event_id"] for each in json.loads(body)} == {event.event_id for event in events}
    assert EventWebhook().verify_signature(body.decode(), headers[SIGNATURE_HEADER], headers[TIMESTAMP_HEADER], KEY.public_key())


async def test_only_the_kinds_that_are_on_are_posted(room: Room, endpoint_server) -> None:  # type: ignore[no-untyped-def]
    await room.endpoint(endpoint_server.url(), "delivered")
    await room.handle(room.event())
    assert endpoint_server.posts == []


async def test_a_tenant_without_an_endpoint_costs_nothing(room: Room) -> None:
    await room.handle(room.event())
    assert await room.stored() == 0


async def test_a_failed_post_is_stored_and_posted_again_with_the_same_bytes(room: Room, endpoint_server) -> None:  # type: ignore[no-untyped-def]
    await room.endpoint(endpoint_server.url(), "processed")
    endpoint_server.status = 500
    await room.handle(room.event())
    assert await room.stored() == 1
    endpoint_server.status = 200
    await room.admin.execute("UPDATE webhook_batches SET due_at = now()")
    assert await room.fanout.retry_due(10, timedelta(seconds=60)) == 1
    assert await room.stored() == 0
    first, second = endpoint_server.posts
    assert first[2] == second[2]


async def test_an_endpoint_in_trouble_is_spared_until_a_stored_post_was_taken(room: Room, endpoint_server) -> None:  # type: ignore[no-untyped-def]
    await room.endpoint(endpoint_server.url(), "processed")
    endpoint_server.status = 503
    await room.handle(room.event())
    await room.handle(room.event())
    assert len(endpoint_server.posts) == 1
    assert await room.stored() == 2
    endpoint_server.status = 200
    await room.admin.execute("UPDATE webhook_batches SET due_at = now()")
    await room.fanout.retry_due(10, timedelta(seconds=60))
    await room.handle(room.event())
    assert len(endpoint_server.posts) == 4
    assert await room.stored() == 0


async def test_a_post_expires_after_24_hours(room: Room, endpoint_server) -> None:  # type: ignore[no-untyped-def]
    await room.endpoint(endpoint_server.url(), "processed")
    endpoint_server.status = 500
    await room.handle(room.event())
    room.clock[0] += timedelta(hours=25)
    await room.admin.execute("UPDATE webhook_batches SET due_at = now()")
    await room.fanout.retry_due(10, timedelta(seconds=60))
    assert await room.stored() == 0


async def test_a_slow_endpoint_holds_back_no_other(room: Room, endpoint_server) -> None:  # type: ignore[no-untyped-def]
    await room.endpoint(endpoint_server.url("/hang"), "processed")
    await room.endpoint(endpoint_server.url("/quick"), "processed")
    handled = asyncio.create_task(room.handle(room.event()))
    await asyncio.sleep(0.5)
    assert [path for path, _, _ in endpoint_server.posts if path == "/quick"] == ["/quick"]
    await handled
    assert await room.stored() == 1


async def test_an_event_whose_maker_knew_no_origin_gets_the_senders_words_from_the_timeline(room: Room, endpoint_server) -> None:  # type: ignore[no-untyped-def]
    await room.endpoint(endpoint_server.url(), "spam_report")
    known = room.event()
    await room.admin.execute(
        "INSERT INTO messages (tenant_id, day, delivery_id, to_email, state, rank, origin, message_id, accepted_at, last_event_at)"
        " VALUES ($1, current_date, $2, 'a@b.test', 'delivered', 5, $3, '<m@x>', now(), now())",
        room.tenant_id, known.delivery_id, json.dumps({"custom_args": {"order": "42"}}),
    )  # fmt: skip
    complaint = SpamReportEvent(event_id="c", tenant_id=room.tenant_id, delivery_id=known.delivery_id, at=time(), email="a@b.test")
    await room.handle(complaint)
    (event,) = json.loads(endpoint_server.posts[0][2])
    assert (event["order"], event["smtp-id"], event["event"]) == ("42", "<m@x>", "spamreport")
