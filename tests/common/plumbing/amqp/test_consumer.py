from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import timedelta

import pytest
from tests.common.plumbing.amqp.conftest import Broker, Relay, eventually, running

from scaisend_common.plumbing.amqp import Ack, Consumer, Incoming, Park, Retry, Settlement


class NewerVersion(Exception):
    pauses_queue = True


def _decode(body: bytes) -> str:
    if body.startswith(b"\xff"):
        raise NewerVersion("version 255")
    return body.decode()


class Desk:
    """A handler that notes what it gets, waits for its gate and answers as it was told, else Ack."""

    def __init__(self, **answers: Settlement | Exception) -> None:
        self.heard: list[Incoming[str]] = []
        self.at_once = 0
        self.most_at_once = 0
        self.answers = answers
        self.gate = asyncio.Event()
        self.gate.set()

    @property
    def values(self) -> list[str]:
        return [incoming.value for incoming in self.heard]

    async def handle(self, incoming: Incoming[str]) -> Settlement:
        self.heard.append(incoming)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.gate.wait()
        self.at_once -= 1
        answer = self.answers.get(incoming.value, Ack())
        if isinstance(answer, Exception):
            raise answer
        return answer


def consumer(url: str, desk: Desk, *queues: str, prefetch: int = 100, keep_for: timedelta = timedelta(minutes=10)) -> Consumer[str]:
    return Consumer(url, queues or ("q",), _decode, desk.handle, name="t", prefetch=prefetch, keep_for=keep_for)


async def test_what_is_acked_is_gone(broker: Broker) -> None:
    await broker.queue("q")
    await broker.put("q", b"a", b"b")
    desk = Desk()
    async with running(consumer(broker.url, desk)):
        await eventually(lambda: len(desk.heard) == 2)
    assert desk.heard == [Incoming("a", "q", redelivered=False, failures=0), Incoming("b", "q", redelivered=False, failures=0)]
    assert await broker.is_empty("q")


async def test_no_more_than_the_prefetch_is_handled_at_once_per_queue(broker: Broker) -> None:
    await broker.queue("q")
    await broker.queue("r")
    await broker.put("q", *[b"q"] * 20)
    await broker.put("r", *[b"r"] * 20)
    desk = Desk()
    desk.gate.clear()
    async with running(consumer(broker.url, desk, "q", "r", prefetch=3)):
        await eventually(lambda: desk.at_once == 6)
        await asyncio.sleep(0.2)
        assert sorted(desk.values) == ["q"] * 3 + ["r"] * 3
        desk.gate.set()
        await eventually(lambda: len(desk.heard) == 40)
    assert desk.most_at_once == 6


async def test_messages_that_end_in_any_order_are_all_settled(broker: Broker) -> None:
    await broker.queue("q")
    await broker.put("q", *(b"%d" % n for n in range(500)))
    done: set[str] = set()

    async def handle(incoming: Incoming[str]) -> Settlement:
        await asyncio.sleep(random.random() / 20)
        done.add(incoming.value)
        return Ack()

    async with running(Consumer(broker.url, ["q"], _decode, handle, name="t", prefetch=100)):
        await eventually(lambda: len(done) == 500)
    assert await broker.is_empty("q")


async def test_parked_is_put_aside_with_why_its_body_and_its_headers(broker: Broker) -> None:
    await broker.queue("q")
    await broker.put("q", b"bad", headers={"x-own": "kept"})
    desk = Desk(bad=Park("cannot be"))
    async with running(consumer(broker.url, desk)):
        message = await broker.get("q.parked")
    assert (message.body, message.headers["x-parked-why"], message.headers["x-own"]) == (b"bad", "cannot be", "kept")
    assert "x-delivery-count" not in message.headers or message.headers["x-delivery-count"] == 0
    assert await broker.is_empty("q")


async def test_whatever_the_reason_and_the_headers_are_it_is_parked(broker: Broker) -> None:
    await broker.queue("q")
    await broker.put("q", b"odd")
    await broker.put("q", b"big", headers={"x-own": "y" * 130_000})
    desk = Desk(odd=Park("\ud800" * 5), big=Park("z" * 5000))
    async with running(consumer(broker.url, desk)):
        parked = {message.body: message.headers for message in [await broker.get("q.parked") for _ in range(2)]}
    assert parked[b"odd"]["x-parked-why"] == "?????"
    assert parked[b"big"]["x-parked-why"] == "z" * 2000
    assert "x-own" not in parked[b"big"], "it would not have fitted into a frame beside the reason"
    assert await broker.is_empty("q")


async def test_bytes_that_do_not_decode_and_handlers_that_fail_are_parked_and_the_queue_goes_on(broker: Broker) -> None:
    await broker.queue("q")
    await broker.put("q", b"\x80", b"bug", b"good")
    desk = Desk(bug=KeyError("missing"))
    async with running(consumer(broker.url, desk)):
        parked = [await broker.get("q.parked") for _ in range(2)]
        await eventually(lambda: "good" in desk.values)
    assert {message.body: str(message.headers["x-parked-why"]).partition(":")[0] for message in parked} == {
        b"\x80": "UnicodeDecodeError",
        b"bug": "KeyError",
    }
    assert await broker.is_empty("q")


async def test_what_cannot_be_parked_is_not_lost(broker: Broker) -> None:
    await broker.queue("q", parked=False)
    await broker.put("q", b"bad")
    desk = Desk(bad=Park("no place to go"))
    async with running(consumer(broker.url, desk)):
        await eventually(lambda: len(desk.heard) == 2)
    assert (await broker.get("q")).body == b"bad"


async def test_retry_pauses_the_whole_consumer_and_the_message_comes_again(broker: Broker) -> None:
    await broker.queue("q")
    await broker.put("q", b"later")
    desk = Desk(later=Retry(timedelta(seconds=0.4)))
    async with running(consumer(broker.url, desk)):
        await eventually(lambda: len(desk.heard) == 1)
        await broker.put("q", b"other")
        await asyncio.sleep(0.2)
        assert desk.values == ["later"]
        desk.answers.clear()
        await eventually(lambda: len(desk.heard) == 3)
    assert [(incoming.value, incoming.redelivered) for incoming in desk.heard[1:]] in (
        [("later", True), ("other", False)],
        [("other", False), ("later", True)],
    )
    assert await broker.is_empty("q")


async def test_waiting_here_does_not_count_towards_the_delivery_limit(broker: Broker) -> None:
    await broker.queue("q", delivery_limit=2)
    await broker.put("q", b"patient")
    desk = Desk(patient=Retry(timedelta(seconds=0.02)))
    async with running(consumer(broker.url, desk)):
        await eventually(lambda: len(desk.heard) > 5)
        desk.answers.clear()
        before = len(desk.heard)
        await eventually(lambda: len(desk.heard) > before)
    assert await broker.is_empty("q.parked")


async def test_a_message_kept_too_long_goes_back_to_the_broker(broker: Broker) -> None:
    await broker.queue("q")
    await broker.put("q", b"patient")
    desk = Desk(patient=Retry(timedelta(seconds=0.05)))
    async with running(consumer(broker.url, desk, keep_for=timedelta(seconds=0.02))):
        await eventually(lambda: any(incoming.failures >= 2 for incoming in desk.heard))


async def test_retry_without_a_pause_gives_the_message_to_whoever_is_next(broker: Broker) -> None:
    await broker.queue("q")
    unwilling = Desk(it=Retry(timedelta()))
    willing = Desk()
    async with running(consumer(broker.url, unwilling)), running(consumer(broker.url, willing)):
        await broker.put("q", b"it")
        await eventually(lambda: willing.values == ["it"])
    assert await broker.is_empty("q")


async def test_an_outage_parks_nothing_pauses_and_is_over_when_it_is_over(broker: Broker) -> None:
    await broker.queue("q")
    await broker.put("q", b"a", b"b")
    desk = Desk(a=ConnectionRefusedError("no database"), b=TimeoutError())
    async with running(consumer(broker.url, desk)):
        await eventually(lambda: len(desk.heard) == 2)
        await asyncio.sleep(0.5)
        assert len(desk.heard) == 2, "paused for a second"
        await eventually(lambda: len(desk.heard) == 4)
        desk.answers.clear()
        await eventually(lambda: len(desk.heard) == 6)
    assert await broker.is_empty("q")
    assert await broker.is_empty("q.parked")


async def test_a_newer_version_waits_for_a_newer_release_and_other_queues_go_on(broker: Broker) -> None:
    await broker.queue("q")
    await broker.queue("r")
    await broker.put("q", b"\xffnew")
    old = Desk()
    async with running(it := consumer(broker.url, old, "q", "r"), when_ready=False):
        await asyncio.sleep(0.3)
        assert not it.is_ready
        await broker.put("r", b"old")
        await eventually(lambda: old.values == ["old"])
        assert (await broker.get("q")).body == b"\xffnew"
    assert await broker.is_empty("q.parked")


async def test_after_a_lost_connection_running_handlers_end_and_their_messages_come_again(broker: Broker, relay: Relay) -> None:
    await broker.queue("q")
    await broker.put("q", b"a", b"b")
    desk = Desk()
    desk.gate.clear()
    async with running(it := consumer(relay.url, desk)):
        await eventually(lambda: desk.at_once == 2)
        relay.cut()
        await eventually(lambda: not it.is_ready)
        await eventually(lambda: len(desk.heard) == 4)
        assert desk.at_once == 4
        desk.gate.set()
        await eventually(lambda: desk.at_once == 0)
    assert sorted((incoming.value, incoming.redelivered) for incoming in desk.heard) == [
        ("a", False),
        ("a", True),
        ("b", False),
        ("b", True),
    ]
    assert [incoming.failures for incoming in desk.heard[2:]] == [1, 1]
    assert await broker.is_empty("q")


async def test_stopping_lets_running_handlers_end_and_settles_them(broker: Broker) -> None:
    await broker.queue("q")
    await broker.put("q", b"a", b"b")
    desk = Desk()
    desk.gate.clear()
    it = consumer(broker.url, desk)
    task = asyncio.create_task(it.run())
    await eventually(lambda: desk.at_once == 2)
    stopping = asyncio.create_task(it.stop())
    await asyncio.sleep(0.1)
    await broker.put("q", b"not for us")
    await asyncio.sleep(0.1)
    assert not stopping.done()
    desk.gate.set()
    await stopping
    await task
    assert sorted(desk.values) == ["a", "b"]
    assert (await broker.get("q")).body == b"not for us"
    assert await broker.is_empty("q")


async def test_dropping_a_queue_requeues_what_did_not_start_and_waits_for_what_did(broker: Broker) -> None:
    await broker.queue("q")
    await broker.queue("r")
    await broker.put("q", b"runs")
    desk = Desk(pause=Retry(timedelta(seconds=5)))
    desk.gate.clear()
    async with running(it := consumer(broker.url, desk, "q", "r")):
        await eventually(lambda: desk.at_once == 1)
        desk.answers["runs"] = Ack()
        await broker.put("r", b"pause")
        await eventually(lambda: desk.at_once == 2)
        dropping = asyncio.create_task(it.drop_queue("q"))
        await asyncio.sleep(0.1)
        await broker.put("q", b"unstarted")
        assert not dropping.done()
        desk.gate.set()
        await dropping
        message = await broker.get("q")
        assert (message.body, message.redelivered) == (b"unstarted", False)
        await message.ack()
        assert await broker.is_empty("q")
        assert it.is_ready


async def test_what_waits_in_a_pause_goes_back_when_its_queue_is_dropped(broker: Broker) -> None:
    await broker.queue("q")
    await broker.put("q", b"a", b"b", b"c")
    desk = Desk(a=Retry(timedelta(seconds=30)), b=Retry(timedelta(seconds=30)))
    async with running(it := consumer(broker.url, desk, prefetch=2)):
        await eventually(lambda: len(desk.heard) == 2)
        await asyncio.sleep(0.05)
        await it.drop_queue("q")
        messages = [await broker.get("q") for _ in range(3)]
    assert sorted(message.body for message in messages) == [b"a", b"b", b"c"]


async def test_a_queue_may_be_added_dropped_and_added_again(broker: Broker) -> None:
    await broker.queue("q")
    desk = Desk()
    desk.gate.clear()
    it: Consumer[str] = Consumer(broker.url, [], _decode, desk.handle, name="t", prefetch=10)
    async with running(it):
        await it.add_queue("q")
        await broker.put("q", b"1")
        await eventually(lambda: desk.values == ["1"])
        dropping = asyncio.create_task(it.drop_queue("q"))
        await asyncio.sleep(0.05)
        adding = asyncio.create_task(it.add_queue("q"))
        await asyncio.sleep(0.05)
        assert not adding.done()
        desk.gate.set()
        await dropping
        await adding
        await broker.put("q", b"2")
        await eventually(lambda: desk.values == ["1", "2"])
        await eventually(lambda: it.is_ready)


async def test_a_queue_that_is_not_there_yet_holds_up_no_other(broker: Broker) -> None:
    await broker.queue("q")
    desk = Desk()
    async with running(it := consumer(broker.url, desk, "q", "soon"), when_ready=False):
        await broker.put("q", b"now")
        await eventually(lambda: desk.values == ["now"])
        assert not it.is_ready
        await broker.queue("soon")
        await eventually(lambda: it.is_ready)
        await broker.put("soon", b"then")
        await eventually(lambda: desk.values == ["now", "then"])


async def test_a_queue_that_is_deleted_is_consumed_again_when_it_is_back(broker: Broker) -> None:
    await broker.queue("q")
    desk = Desk()
    async with running(it := consumer(broker.url, desk)):
        await broker.channel.queue_delete("q")
        await eventually(lambda: not it.is_ready)
        await broker.queue("q")
        await eventually(lambda: it.is_ready)
        await broker.put("q", b"back")
        await eventually(lambda: desk.values == ["back"])


def test_a_prefetch_that_quorum_queues_refuse_is_refused() -> None:
    for prefetch in (0, 2001):
        with pytest.raises(ValueError, match="prefetch"):
            consumer("amqp://nowhere", Desk(), prefetch=prefetch)


async def test_stopping_without_a_broker_ends(free_port: Callable[[], int]) -> None:
    async with running(consumer(f"amqp://127.0.0.1:{free_port()}", Desk()), when_ready=False):
        await asyncio.sleep(0.1)
