from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from scaisend_common.mail.ids import delivery_id, event_id, sg_message_id, submission_id
from scaisend_common.mail.reply import Reply
from scaisend_common.mail.verdict import BounceKind
from scaisend_webhook_fanout.payload import body_of, event_json, flag_of

DELIVERY = delivery_id(submission_id(1_790_000_000_000, bytes(10)), 2, 1)
ORIGIN = Origin(categories=("receipts", "été"), custom_args={"order": "42", "event": "never mine"}, asm_group_id=7, send_at=1_790_000_100)
COMMON = {
    "tenant_id": "t",
    "delivery_id": DELIVERY,
    "at": 1_790_000_003.75,
    "email": "a@b.test",
    "origin": ORIGIN,
    "message_id": f"<{DELIVERY}@x.test>",
}
HOP = Hop(mx_host="mx.b.test", mx_ip="127.0.0.1", source_ip="127.0.0.2", tls=True)
REPLY = Reply(250, "2.0.0", "OK queued")

EVENTS: list[Event] = [
    ProcessedEvent(event_id=event_id("processed", 0, DELIVERY), **COMMON),
    DroppedEvent(event_id=event_id("drop", 0, DELIVERY), reason="Bounced Address", **COMMON),
    DeferredEvent(event_id=event_id("deferred", 1, DELIVERY), attempt=1, why="", reply=Reply(451, "4.7.1", "later"), hop=HOP, **COMMON),
    DeliveredEvent(event_id=event_id("delivered", 2, DELIVERY), attempt=2, reply=REPLY, hop=HOP, **COMMON),
    BounceEvent(
        event_id=event_id("bounce", 1, DELIVERY),
        attempt=1,
        why="",
        status="5.1.1",
        kind=BounceKind.BOUNCE,
        reply=Reply(550, "5.1.1", "no"),
        **COMMON,
    ),
    BounceEvent(event_id=event_id("bounce", 1, DELIVERY), attempt=1, why="no route", status="5.4.4", kind=BounceKind.BLOCKED, **COMMON),
    SpamReportEvent(event_id=event_id("spamreport", 0, DELIVERY), **COMMON),
]


def as_json(event: Event) -> dict[str, object]:
    decoded = json.loads(event_json(event))
    assert isinstance(decoded, dict)
    return decoded


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_has_the_common_fields_in_sendgrids_types(event: Event) -> None:
    fields = as_json(event)
    assert fields["email"] == "a@b.test"
    assert fields["timestamp"] == 1_790_000_003
    assert fields["sg_event_id"] == event.event_id
    assert fields["sg_message_id"] == sg_message_id(DELIVERY)
    assert fields["smtp-id"] == f"<{DELIVERY}@x.test>"
    assert fields["category"] == ["receipts", "été"]
    assert fields["asm_group_id"] == 7
    assert fields["order"] == "42"


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_custom_args_never_replace_a_key_of_ours(event: Event) -> None:
    assert as_json(event)["event"] != "never mine"


def test_each_kind_says_what_its_receivers_read() -> None:
    processed, dropped, deferred, delivered, bounce, blocked, complaint = map(as_json, EVENTS)
    assert (processed["event"], processed["send_at"]) == ("processed", 1_790_000_100)
    assert (dropped["event"], dropped["reason"]) == ("dropped", "Bounced Address")
    assert (deferred["event"], deferred["attempt"], deferred["response"], deferred["tls"]) == ("deferred", "0", "451 4.7.1 later", 1)
    assert (delivered["event"], delivered["response"], delivered["ip"], delivered["tls"]) == (
        "delivered",
        "250 2.0.0 OK queued",
        "127.0.0.2",
        1,
    )
    assert (bounce["event"], bounce["type"], bounce["status"], bounce["reason"]) == ("bounce", "bounce", "5.1.1", "550 5.1.1 no")
    assert (blocked["event"], blocked["type"], blocked["reason"]) == ("bounce", "blocked", "no route")
    assert complaint["event"] == "spamreport"


def test_an_attempt_in_doubt_is_never_posted() -> None:
    assert flag_of(UnknownEvent(event_id="x", why="crash", **COMMON)) is None


def test_an_asynchronous_bounce_without_origin_still_names_its_message() -> None:
    bare = BounceEvent(
        event_id="x", tenant_id="t", delivery_id=DELIVERY, at=1.0, email="a@b.test", why="w", status="5.1.1", kind=BounceKind.BOUNCE
    )
    assert as_json(bare)["sg_message_id"] == sg_message_id(DELIVERY)


@given(st.lists(st.dictionaries(st.text(), st.text()), min_size=1, max_size=5))
def test_a_body_is_one_json_array_with_an_event_a_line(args: list[dict[str, str]]) -> None:
    common = {**COMMON, "origin": None}
    events = [ProcessedEvent(event_id=str(i), **{**common, "origin": Origin(custom_args=each)}) for i, each in enumerate(args)]
    body = body_of([event_json(event) for event in events])
    assert [each["sg_event_id"] for each in json.loads(body)] == [str(i) for i in range(len(events))]
    assert body.endswith(b"]\r\n")
    assert body.count(b"\r\n") == len(events)


def test_ids_differ_between_deliveries() -> None:
    ids = {submission_id(1_790_000_000_000, os.urandom(10)) for _ in range(1000)}
    assert len(ids) == 1000
