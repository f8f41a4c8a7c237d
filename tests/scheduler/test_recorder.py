from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable

import pytest
from tests.scheduler.database import rows
from tests.scheduler.making import (
    OTHER,
    TENANT,
    an_id,
    bounce,
    deferred,
    delivered,
    dropped,
    processed,
    spamreport,
    unknown,
)

from scaisend_common.mail.address import Address
from scaisend_common.mail.events import Event
from scaisend_common.mail.ids import DeliveryId, delivery_id, made_at, submission_of
from scaisend_common.mail.verdict import BounceKind
from scaisend_common.messages import EventBatch
from scaisend_common.plumbing.amqp import Ack, Incoming, Settlement
from scaisend_common.plumbing.postgres import DatabaseAway, open_pool
from scaisend_common.plumbing.redis import Redis, RedisAway, connect
from scaisend_common.stops import address_stop
from scaisend_scheduler.record.handler import Recorder

STOP = address_stop(TENANT, Address("ann", "plain.test"))


def a_delivery() -> DeliveryId:
    return delivery_id(an_id(time.time()), 0, 0)


async def take(recorder: Recorder, *batches: list[Event]) -> list[Settlement]:
    return await recorder.handle([Incoming(EventBatch(tuple(events)), "record.0", redelivered=False, failures=0) for events in batches])


@pytest.fixture
async def ledger(ledger_url: str) -> AsyncIterator[Redis]:
    async with connect(ledger_url) as client:
        yield client


@pytest.fixture
async def recorder(service_dsn: Callable[[str], str], ledger: Redis) -> AsyncIterator[Recorder]:
    async with open_pool(service_dsn("scheduler"), name="test") as pool:
        yield Recorder(pool, ledger)


async def messages(dsn: str) -> list[tuple[str, str, int]]:
    return [(r["delivery_id"], r["state"], r["attempt"]) for r in await rows(dsn, "SELECT * FROM messages ORDER BY delivery_id")]


async def test_a_mails_events_become_its_timeline_its_state_and_statistics(recorder: Recorder, postgres_dsn: str) -> None:
    delivery = a_delivery()
    story: list[Event] = [processed(delivery), deferred(delivery, 1), delivered(delivery, 2)]
    assert await take(recorder, story[:2], story[2:]) == [Ack(), Ack()]
    timeline = await rows(postgres_dsn, "SELECT * FROM events ORDER BY attempt")
    assert [(r["kind"], r["attempt"], r["day"]) for r in timeline] == [
        (kind, attempt, made_at(submission_of(delivery)).date()) for attempt, kind in enumerate(["processed", "deferred", "delivered"])
    ]
    assert [set(json.loads(r["body"])) for r in timeline] == [set(), {"why", "reply", "next_at", "hop"}, {"reply", "hop"}]
    assert json.loads(timeline[2]["body"])["reply"] == [250, "2.0.0", "ok"]
    [message] = await rows(postgres_dsn, "SELECT * FROM messages")
    assert (message["state"], message["attempt"], message["to_email"]) == ("delivered", 2, "Ann@plain.test")
    assert (message["from_email"], message["subject"]) == ("sender@example.com", "a subject")
    assert (message["message_id"], json.loads(message["origin"])) == (f"<{delivery}@example.com>", {"categories": ["a", "b"]})
    [stats] = await rows(postgres_dsn, "SELECT * FROM stats_daily")
    assert (stats["processed"], stats["deferred"], stats["delivered"], stats["bounces"]) == (1, 1, 1, 0)


async def test_events_that_come_again_change_nothing(recorder: Recorder, postgres_dsn: str) -> None:
    delivery = a_delivery()
    story: list[Event] = [processed(delivery), delivered(delivery)]
    await take(recorder, story)
    before = [await rows(postgres_dsn, f"SELECT * FROM {table}") for table in ("events", "messages", "stats_daily")]  # noqa: S608
    await take(recorder, story, story)
    assert [await rows(postgres_dsn, f"SELECT * FROM {table}") for table in ("events", "messages", "stats_daily")] == before  # noqa: S608


async def test_a_state_does_not_go_back_when_events_come_late(recorder: Recorder, postgres_dsn: str) -> None:
    delivery = a_delivery()
    for event in (delivered(delivery, 3), deferred(delivery, 2), unknown(delivery, 1), dropped(delivery, 0), processed(delivery)):
        await take(recorder, [event])
    assert await messages(postgres_dsn) == [(delivery, "delivered", 3)]
    await take(recorder, [bounce(delivery, asynchronous=True)])
    assert [state for _, state, _ in await messages(postgres_dsn)] == ["bounced"]


async def test_what_an_event_without_origin_left_open_a_later_one_fills(recorder: Recorder, postgres_dsn: str) -> None:
    delivery = a_delivery()
    await take(recorder, [bounce(delivery, asynchronous=True, origin=None, message_id="")])
    await take(recorder, [processed(delivery)])
    [message] = await rows(postgres_dsn, "SELECT * FROM messages")
    assert (message["subject"], message["from_email"], message["message_id"]) == (
        "a subject",
        "sender@example.com",
        f"<{delivery}@example.com>",
    )
    assert json.loads(message["origin"]) == {"categories": ["a", "b"]}


async def test_a_hard_bounce_and_a_complaint_suppress_and_stop(recorder: Recorder, ledger: Redis, postgres_dsn: str) -> None:
    await take(recorder, [bounce(a_delivery())])
    await take(recorder, [spamreport(a_delivery(), email="Bob@plain.test"), bounce(a_delivery(), email="bob@plain.test", status="5.2.2")])
    found = await rows(postgres_dsn, "SELECT tenant_id::text, address, kind, reason, status FROM suppressions ORDER BY address")
    assert [tuple(r) for r in found] == [
        (TENANT, "ann@plain.test", "bounce", "550 5.1.1 no such user", "5.1.1"),
        (TENANT, "bob@plain.test", "spamreport", "", ""),
    ]
    assert await ledger.get(STOP) == b"Bounced Address"
    assert await ledger.get(address_stop(TENANT, Address("bob", "plain.test"))) == b"Spam Reporting Address"
    assert await ledger.ttl(STOP) > 9 * 86400


async def test_a_stop_that_a_crash_kept_from_the_ledger_is_written_when_the_events_come_again(
    recorder: Recorder, ledger: Redis, postgres_dsn: str
) -> None:
    events: list[Event] = [bounce(a_delivery())]
    await take(recorder, events)
    await ledger.delete(STOP)
    await take(recorder, events)
    assert await ledger.get(STOP) == b"Bounced Address"


async def test_a_suppression_that_its_owner_removed_does_not_come_back_with_the_old_event(
    recorder: Recorder, ledger: Redis, postgres_dsn: str
) -> None:
    events: list[Event] = [bounce(a_delivery())]
    await take(recorder, events)
    await rows(postgres_dsn, "DELETE FROM suppressions")
    await ledger.delete(STOP)
    await take(recorder, events)
    assert await rows(postgres_dsn, "SELECT * FROM suppressions") == []
    assert await ledger.get(STOP) is None


async def test_without_a_ledger_only_what_suppresses_waits(service_dsn: Callable[[str], str], free_port: Callable[[], int]) -> None:
    async with open_pool(service_dsn("scheduler"), name="test") as pool, connect(f"redis://127.0.0.1:{free_port()}/0") as nobody:
        recorder = Recorder(pool, nobody)
        assert await take(recorder, [delivered(a_delivery())]) == [Ack()]
        with pytest.raises(RedisAway):
            await take(recorder, [bounce(a_delivery())])


async def test_without_postgres_events_wait(ledger: Redis, free_port: Callable[[], int]) -> None:
    async with open_pool(f"postgresql://nobody@127.0.0.1:{free_port()}/none", name="test") as pool:
        with pytest.raises(DatabaseAway):
            await take(Recorder(pool, ledger), [delivered(a_delivery())])


async def test_a_nul_in_what_a_server_said_is_kept_as_a_replacement_character(recorder: Recorder, postgres_dsn: str) -> None:
    assert await take(recorder, [bounce(a_delivery(), text="no \x00 user \\u0000")]) == [Ack()]
    [event] = await rows(postgres_dsn, "SELECT body FROM events")
    assert json.loads(event["body"])["why"] == "no � user \\u0000"


async def test_many_recorders_of_the_same_events_neither_block_nor_count_twice(recorder: Recorder, postgres_dsn: str) -> None:
    deliveries = [a_delivery() for _ in range(200)]
    events: list[Event] = [event for delivery in deliveries for event in (processed(delivery), delivered(delivery))]
    ordered = [events, events[::-1], events[100:] + events[:100], events[::2] + events[1::2]]
    assert await asyncio.gather(*(take(recorder, each) for each in ordered)) == [[Ack()]] * 4
    [stats] = await rows(postgres_dsn, "SELECT processed, delivered FROM stats_daily")
    assert tuple(stats) == (200, 200)
    assert {state for _, state, _ in await messages(postgres_dsn)} == {"delivered"}


async def test_events_of_two_tenants_in_one_batch_stay_apart(recorder: Recorder, postgres_dsn: str) -> None:
    await take(recorder, [delivered(a_delivery()), bounce(a_delivery(), tenant_id=OTHER)])
    found = await rows(postgres_dsn, "SELECT tenant_id::text, delivered, bounces, blocks FROM stats_daily ORDER BY 1")
    assert [tuple(r) for r in found] == [(TENANT, 1, 0, 0), (OTHER, 0, 1, 0)]
    assert [r["tenant_id"] for r in await rows(postgres_dsn, "SELECT tenant_id::text FROM suppressions")] == [OTHER]


async def test_blocks_are_no_suppressions(recorder: Recorder, postgres_dsn: str) -> None:
    await take(recorder, [bounce(a_delivery(), status="5.7.1", kind=BounceKind.BLOCKED)])
    assert await rows(postgres_dsn, "SELECT * FROM suppressions") == []
