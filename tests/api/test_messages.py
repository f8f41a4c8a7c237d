"""GET /v3/messages/{id}: the timeline, as the sender may read it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from os import urandom
from time import monotonic, time
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.api.requests import valid
from tests.api.world import World, today

from scaisend_api.timeline import ACCEPTED, DeliveryRow, EventRow, delivery_view, overall, submission_view
from scaisend_common.mail.events import (
    BounceEvent,
    DeferredEvent,
    DeliveredEvent,
    Event,
    Hop,
    Origin,
    ProcessedEvent,
    SpamReportEvent,
    UnknownEvent,
    details,
)
from scaisend_common.mail.ids import DeliveryId, SubmissionId, delivery_id, event_id, sg_message_id, submission_id
from scaisend_common.mail.reply import Reply
from scaisend_common.mail.verdict import BounceKind

AT = 1_800_000_000.25
SUBMISSION = submission_id(int(AT * 1000), bytes(10))
DELIVERY = delivery_id(SUBMISSION, 0, 0)
NOT_FOUND = b'{"errors":[{"message":"not found","field":"message_id"}]}'
HOP = Hop("mx.example.com", "192.0.2.1", "192.0.2.9", tls=True, tls_version="TLSv1.3", ms=12)
ORIGIN = Origin(from_email="shop@sender.test", categories=("a",), custom_args={"order": "7"}, api_key_id="k" * 22)


def event(of: type[Any], attempt: int = 0, **fields: Any) -> Any:
    return of(
        event_id=event_id(of.__name__, attempt, DELIVERY),
        tenant_id="t",
        delivery_id=DELIVERY,
        at=fields.pop("at", AT),
        email="a@b.co",
        attempt=attempt,
        **fields,
    )


EVENTS: list[Event] = [
    event(ProcessedEvent, origin=ORIGIN),
    event(DeferredEvent, 1, why="451 4.7.1 later", reply=Reply(451, "4.7.1", "later"), next_at=AT + 60, hop=HOP),
    event(UnknownEvent, 2, why="connection lost after the dot"),
    event(DeliveredEvent, 3, reply=Reply(250, "2.0.0", "OK"), hop=HOP),
    event(BounceEvent, 3, why="550 5.1.1 gone", status="5.1.1", kind=BounceKind.BOUNCE, asynchronous=True),
    event(SpamReportEvent, 3),
]


def row(events: list[Event], state: str = "delivered", delivery: DeliveryId = DELIVERY) -> DeliveryRow:
    stored = tuple(
        EventRow(str(each.__struct_config__.tag), datetime.fromtimestamp(each.at, UTC), msgspec.json.encode(each).decode())
        for each in events
    )
    return DeliveryRow(delivery, "a@b.co", "shop@sender.test", "Hi", state, msgspec.json.encode(ORIGIN).decode(), datetime.now(UTC), stored)


def test_a_submission_shows_its_deliveries_with_events_and_attempts() -> None:
    view: Any = submission_view(SUBMISSION, [row(EVENTS)])
    assert (view["message_id"], view["status"]) == (SUBMISSION, "delivered")
    (delivery,) = view["deliveries"]
    assert delivery["msg_id"] == sg_message_id(DELIVERY)
    assert [each["event_name"] for each in delivery["events"][4:]] == ["bounced", "spam_report"]
    assert delivery["events"][1] | {"event_name": "deferred"} == {
        "event_name": "deferred",
        "processed": "2027-01-15T08:00:00.250Z",
        "reason": "451 4.7.1 later",
        "attempt_num": 1,
        "mx_server": "mx.example.com",
    }
    assert [(each["attempt"], each["verdict"]) for each in delivery["attempts"]] == [(1, "deferred"), (2, "unknown"), (3, "delivered")]
    assert delivery["attempts"][0]["next_at"] == "2027-01-15T08:01:00.250Z"
    assert delivery["attempts"][2]["tls_version"] == "TLSv1.3"


def test_one_delivery_has_sendgrids_flat_shape_and_attempts_beside_it() -> None:
    view: Any = delivery_view(row(EVENTS))
    assert set(view) == {
        *("from_email", "msg_id", "subject", "to_email", "status", "template_id", "asm_group_id", "teammate", "api_key_id", "events"),
        *("originating_ip", "categories", "unique_args", "outbound_ip", "outbound_ip_type", "attempts"),
    }
    assert json.loads(view["unique_args"]) == {"order": "7"}
    assert (view["categories"], view["outbound_ip"], view["status"]) == (["a"], "192.0.2.9", "delivered")
    assert delivery_view(row([], "bounced"))["status"] == "not_delivered"
    assert delivery_view(row([], "deferred"))["status"] == "processed"


def test_an_event_of_a_newer_release_is_shown_by_its_name() -> None:
    strange = row([])
    strange = DeliveryRow(
        DELIVERY, "a@b.co", "", "", "processed", "{}", strange.last_event_at, (EventRow("purred", datetime.now(UTC), '{"type":"purred"}'),)
    )
    view: Any = delivery_view(strange)
    assert [each["event_name"] for each in view["events"]] == ["purred"]
    assert view["attempts"] == []


STATES = ["processed", "dropped", "deferred", "unknown", "delivered", "bounced"]


@given(st.lists(st.sampled_from(STATES)))
def test_a_submission_is_delivered_only_when_all_of_it_is(states: list[str]) -> None:
    status = overall(states)
    assert (status == "delivered") == (bool(states) and set(states) == {"delivered"})
    assert (status == ACCEPTED) == (not states)
    if status == "not_delivered":
        assert not {"processed", "deferred", "unknown"} & set(states)


@given(st.permutations([(p, r) for p in range(3) for r in range(4)]))
def test_deliveries_come_in_the_order_of_the_request(order: list[tuple[int, int]]) -> None:
    view: Any = submission_view(SUBMISSION, [row([], delivery=delivery_id(SUBMISSION, *each)) for each in order])
    ids = [sg_message_id(delivery_id(SUBMISSION, p, r)) for p in range(3) for r in range(4)]
    assert [each["msg_id"] for each in view["deliveries"]] == ids


async def record(api: World, tenant: str, submission: SubmissionId, recipients: int = 1) -> None:
    """Write what scheduler/record writes."""
    for recipient in range(recipients):
        delivery = delivery_id(submission, 0, recipient)
        await api.sql(
            "INSERT INTO messages (tenant_id, day, delivery_id, to_email, state, rank, origin, accepted_at, last_event_at) VALUES ($1, $2, $3, 'a@b.co', 'processed', 0, $4, now(), now())",
            UUID(tenant), today(), delivery, msgspec.json.encode(ORIGIN).decode(),
        )  # fmt: skip
        made = event(ProcessedEvent, at=time())
        await record_event(api, tenant, delivery, made, details(made))


async def record_event(api: World, tenant: str, delivery: DeliveryId, made: Event, body: object) -> None:
    """Write an event as scheduler/record does, with this for a body."""
    await api.sql(
        "INSERT INTO events (tenant_id, day, event_id, delivery_id, kind, attempt, at, body) VALUES ($1, $2, $3, $4, $5, $6, to_timestamp($7), $8)",
        UUID(tenant), today(), made.event_id, delivery, str(made.__struct_config__.tag), made.attempt, made.at,
        msgspec.json.encode(body).decode(),
    )  # fmt: skip


@pytest.mark.parametrize("body_of", [details, lambda each: each], ids=["as it is recorded", "as it was recorded once, whole"])
async def test_what_was_recorded_of_an_event_and_its_message_is_shown_as_it_was_said(
    api: World, key: str, body_of: Callable[[Event], object]
) -> None:
    submission = submission_id(int(time() * 1000) - 60_000, urandom(10))
    await record(api, await api.shop(), submission)
    delivery = delivery_id(submission, 0, 0)
    later = [msgspec.structs.replace(each, at=AT + n) for n, each in enumerate(EVENTS[1:])]
    for each in later:
        await record_event(api, await api.shop(), delivery, each, body_of(each))
    shown = api.get(key, f"/v3/messages/{submission}").json()["deliveries"][0]
    meant: Any = submission_view(SUBMISSION, [row(later)])
    assert (shown["events"][1:], shown["attempts"]) == (meant["deliveries"][0]["events"], meant["deliveries"][0]["attempts"])


async def test_the_timeline_is_read_by_its_tenant_and_by_nobody_else(api: World) -> None:
    mine, theirs = await api.tenant("mine", domains=()), await api.tenant("theirs", domains=())
    my_key, their_key, narrow = await api.key(mine), await api.key(theirs), await api.key(mine, "mail.send")
    submission, neighbour = (submission_id(int(time() * 1000) - 60_000, bytes([n]) * 10) for n in (1, 2))
    await record(api, mine, submission, recipients=12)
    await record(api, mine, neighbour)
    found = api.get(my_key, f"/v3/messages/{submission}")
    assert found.status == 200
    deliveries = found.json()["deliveries"]
    assert len(deliveries) == 12
    one = api.get(my_key, f"/v3/messages/{deliveries[3]['msg_id']}")
    assert (one.status, one.json()["msg_id"]) == (200, deliveries[3]["msg_id"])
    for path in (submission, deliveries[0]["msg_id"]):
        answer = api.get(their_key, f"/v3/messages/{path}")
        assert (answer.status, answer.body) == (404, NOT_FOUND)
    assert api.get(narrow, f"/v3/messages/{submission}").status == 403


async def test_what_was_just_accepted_is_readable_within_a_second(api: World, key: str) -> None:
    message_id = api.send(key, valid()).headers["x-message-id"]
    begun = monotonic()
    early = api.get(key, f"/v3/messages/{message_id}")
    assert (early.status, early.json()) == (200, {"message_id": message_id, "status": "accepted", "deliveries": []})
    assert monotonic() - begun < 1.5
    message_id = api.send(key, valid()).headers["x-message-id"]
    reading = asyncio.create_task(asyncio.to_thread(api.get, key, f"/v3/messages/{message_id}"))
    await asyncio.sleep(0.2)
    await record(api, await api.shop(), SubmissionId(message_id))
    assert len((await reading).json()["deliveries"]) == 1


async def test_what_is_not_there_is_404_and_errors_have_the_other_shape(api: World, key: str) -> None:
    old = submission_id(1_700_000_000_000, bytes(10))
    begun = monotonic()
    for id_ in (old, "_" * 22, "nonsense", sg_message_id(delivery_id(old, 0, 0)), f"{'_' * 22}.recvd-scaisend-0-1-0.0", "%00", "x" * 3000):
        answer = api.get(key, f"/v3/messages/{id_}")
        assert (answer.status, answer.body) == (404, NOT_FOUND)
    assert monotonic() - begun < 5
    refused = api.get("SG.nonsense", f"/v3/messages/{old}")
    assert (refused.status, refused.body) == (401, b'{"errors":[{"field":null,"message":"authorization required"}]}')
    narrow = await api.key(await api.shop(), "mail.send")
    assert api.get(narrow, f"/v3/messages/{old}").body == b'{"errors":[{"field":null,"message":"access forbidden"}]}'
    unknown = api.get(key, "/v3/nothing")
    assert (unknown.status, unknown.body) == (404, b'{"errors":[{"field":null,"message":"not found"}]}')
    wrong = api.call("DELETE", f"/v3/messages/{old}")
    assert (wrong.status, wrong.body) == (405, b'{"errors":[{"field":null,"message":"method not allowed"}]}')
