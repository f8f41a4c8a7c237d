from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

import aio_pika
import pytest
from tests.common.plumbing.amqp.conftest import Broker, Relay, eventually, gathered

from scaisend_common.plumbing.amqp import Publisher, Refused, Unavailable, Unroutable
from scaisend_common.plumbing.amqp.fields import short_string
from scaisend_common.plumbing.amqp.frames import method_frame
from scaisend_common.plumbing.amqp.methods import CONNECTION_BLOCKED, CONNECTION_UNBLOCKED, bare

MB = 1024 * 1024
BLOCKED = method_frame(0, bare(CONNECTION_BLOCKED) + short_string("low on memory"))
UNBLOCKED = method_frame(0, bare(CONNECTION_UNBLOCKED))


async def test_a_confirmed_message_is_in_its_queue_persistent_with_its_headers(broker: Broker) -> None:
    await broker.queue("q")
    async with Publisher(broker.url, name="t", content_type="application/vnd.msgpack") as publisher:
        await publisher.publish("", "q", b"\x00body", headers={"x-a": "b"})
    message = await broker.get("q")
    assert message.body == b"\x00body"
    assert message.headers["x-a"] == "b"
    assert message.content_type == "application/vnd.msgpack"
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT


async def test_an_empty_body_arrives(broker: Broker) -> None:
    await broker.queue("q")
    async with Publisher(broker.url, name="t") as publisher:
        await publisher.publish("", "q", b"")
    assert (await broker.get("q")).body == b""


async def test_hundreds_in_flight_are_each_confirmed(broker: Broker) -> None:
    await broker.queue("q")
    async with Publisher(broker.url, name="t") as publisher:
        await asyncio.gather(*(publisher.publish_nowait("", "q", b"%d" % n) for n in range(1000)))
    assert [(await broker.get("q")).body for _ in range(1000)] == [b"%d" % n for n in range(1000)]


async def test_publishes_of_one_turn_of_the_loop_leave_together(broker: Broker, relay: Relay) -> None:
    await broker.queue("q")
    async with Publisher(relay.url, name="t") as publisher:
        relay.sent.clear()
        await asyncio.gather(*(publisher.publish_nowait("", "q", b"x") for _ in range(100)))
        assert len(relay.sent) == 1


async def test_a_message_without_a_queue_is_unroutable(broker: Broker) -> None:
    await broker.queue("q")
    async with Publisher(broker.url, name="t") as publisher:
        ends = await gathered(publisher.publish("", "q", b"1"), publisher.publish("", "nobody", b"2"), publisher.publish("", "q", b"3"))
    assert [type(end) for end in ends] == [type(None), Unroutable, type(None)]


async def test_a_message_that_is_not_mandatory_may_go_nowhere(broker: Broker) -> None:
    async with Publisher(broker.url, name="t") as publisher:
        await publisher.publish("", "nobody", b"", mandatory=False)


async def test_a_missing_exchange_is_unroutable_and_the_publisher_recovers(broker: Broker) -> None:
    await broker.queue("q")
    async with Publisher(broker.url, name="t") as publisher:
        with pytest.raises(Unroutable, match="no exchange 'missing'"):
            await publisher.publish("missing", "k", b"")
        assert not publisher.is_ready
        await eventually(lambda: publisher.is_ready)
        await publisher.publish("", "q", b"")


async def test_a_full_queue_refuses(broker: Broker) -> None:
    await broker.queue("q", max_length=1, overflow="reject-publish")
    async with Publisher(broker.url, name="t") as publisher:
        ends = [(await gathered(publisher.publish("", "q", b"")))[0] for _ in range(20)]  # the bound takes hold a little late
        assert {type(end) for end in ends} == {type(None), Refused}
        assert publisher.is_ready


async def test_a_blocked_connection_writes_nothing_and_says_so_at_once(broker: Broker, relay: Relay) -> None:
    await broker.queue("q")
    async with Publisher(relay.url, name="t") as publisher:
        relay.inject(BLOCKED)
        await eventually(lambda: not publisher.is_ready)
        relay.sent.clear()
        with pytest.raises(Unavailable, match="low on memory"):
            await publisher.publish("", "q", b"")
        await asyncio.sleep(0.1)
        assert relay.sent == []
        relay.inject(UNBLOCKED)
        await eventually(lambda: publisher.is_ready)
        await publisher.publish("", "q", b"")


async def test_a_body_of_20_mb_travels_in_many_frames(broker: Broker) -> None:
    await broker.queue("q")
    body = bytes(range(256)) * (20 * MB // 256)
    async with Publisher(broker.url, name="t", timeout=timedelta(seconds=30), body_most=32 * MB) as publisher:
        await publisher.publish("", "q", body)
    assert (await broker.get("q")).body == body


async def test_a_body_over_the_bound_is_refused_before_it_harms_the_others(broker: Broker) -> None:
    await broker.queue("q")
    async with Publisher(broker.url, name="t", body_most=10) as publisher:
        other = publisher.publish_nowait("", "q", b"small")
        with pytest.raises(ValueError, match="11 bytes"):
            await publisher.publish("", "q", b"x" * 11)
        await other


async def test_what_is_in_flight_when_the_connection_is_lost_is_in_doubt_and_the_publisher_comes_back(broker: Broker, relay: Relay) -> None:
    await broker.queue("q")
    async with Publisher(relay.url, name="t") as publisher:
        relay.stall()
        in_flight = [publisher.publish_nowait("", "q", b"%d" % n) for n in range(200)]
        await asyncio.sleep(0.05)
        began_at = time.monotonic()
        relay.cut()
        ends = await gathered(*in_flight)
        assert {type(end) for end in ends} == {Unavailable}
        assert time.monotonic() - began_at < 1, "nobody waits for the time-out"
        with pytest.raises(Unavailable, match="no connection"):
            await publisher.publish("", "q", b"")
        relay.resume()
        await eventually(lambda: publisher.is_ready)
        await publisher.publish("", "q", b"after")


async def test_no_confirm_in_time_is_unavailable_and_the_late_one_is_ignored(broker: Broker, relay: Relay) -> None:
    await broker.queue("q")
    async with Publisher(relay.url, name="t", timeout=timedelta(milliseconds=200)) as publisher:
        relay.stall()
        with pytest.raises(Unavailable, match="no confirm"):
            await publisher.publish("", "q", b"late")
        relay.resume()
        await publisher.publish("", "q", b"next")
    assert [(await broker.get("q")).body for _ in range(2)] == [b"late", b"next"]


async def test_stopping_to_wait_does_not_take_the_message_back(broker: Broker) -> None:
    await broker.queue("q")
    async with Publisher(broker.url, name="t") as publisher:
        publisher.publish_nowait("", "q", b"gone").cancel()
        await publisher.publish("", "q", b"stays")
    assert [(await broker.get("q")).body for _ in range(2)] == [b"gone", b"stays"]


async def test_leaving_waits_for_what_is_in_flight(broker: Broker) -> None:
    await broker.queue("q")
    async with Publisher(broker.url, name="t") as publisher:
        in_flight = [publisher.publish_nowait("", "q", b"x" * 50_000) for _ in range(100)]
    assert await gathered(*in_flight) == [None] * 100


async def test_without_a_broker_a_publisher_is_not_ready_and_fails_at_once(free_port: Callable[[], int]) -> None:
    async with Publisher(f"amqp://127.0.0.1:{free_port()}", name="t", timeout=timedelta(milliseconds=200)) as publisher:
        assert not publisher.is_ready
        with pytest.raises(Unavailable, match="no connection"):
            await publisher.publish("", "q", b"")
