"""When a consumer begins a message: one in each turn of the loop, or as it comes."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Coroutine

from tests.common.plumbing.amqp.conftest import Broker, eventually, running

from scaisend_common.plumbing.amqp import Ack, Consumer, Incoming, Settlement


async def ack() -> Settlement:
    return Ack()


async def test_what_comes_in_a_burst_is_begun_one_a_turn_and_what_goes_first_as_it_comes(broker: Broker) -> None:
    turn, begun = 0, defaultdict[str, list[int]](list)

    def handle(incoming: Incoming[str]) -> Coroutine[None, None, Settlement]:
        begun[incoming.queue].append(turn)
        return ack()

    async def count_turns() -> None:
        nonlocal turn
        while True:
            await asyncio.sleep(0)
            turn += 1

    for queue in ("q", "first"):
        await broker.queue(queue)
        await broker.put(queue, *[b"x"] * 20)
    counting = asyncio.create_task(count_turns())
    both = Consumer(broker.url, ("q", "first"), bytes.decode, handle, name="t", prefetch=100, goes_first=lambda queue: queue == "first")
    async with running(both):
        await eventually(lambda: len(begun["q"]) == len(begun["first"]) == 20)
    counting.cancel()
    assert len(set(begun["q"])) == 20
    assert len(set(begun["first"])) < 20
    assert await broker.is_empty("q")
    assert await broker.is_empty("first")


async def test_a_handler_that_raises_before_it_returns_parks_its_message_alone(broker: Broker) -> None:
    heard = []

    def handle(incoming: Incoming[str]) -> Coroutine[None, None, Settlement]:
        if incoming.value == "bad":
            raise KeyError("bad")
        heard.append(incoming.value)
        return ack()

    await broker.queue("q")
    await broker.put("q", b"one", b"bad", b"two")
    async with running(Consumer(broker.url, ("q",), bytes.decode, handle, name="t", prefetch=10, goes_first=lambda _: True)):
        parked = await broker.get("q.parked")
        await eventually(lambda: heard == ["one", "two"])
    assert parked.body == b"bad"
    assert parked.headers["x-parked-why"] == "KeyError: 'bad'"
    assert await broker.is_empty("q")
