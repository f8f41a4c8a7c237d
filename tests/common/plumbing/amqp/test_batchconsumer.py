from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from tests.common.plumbing.amqp.conftest import Broker, Relay, eventually, running

from scaisend_common.plumbing.amqp import Ack, BatchConsumer, Incoming, Park, Retry, Settlement


class Desk:
    """A batch handler that notes what it gets; `bugs` make it raise, `answers` are given, else Ack."""

    def __init__(self, bugs: dict[str, Exception] | None = None, **answers: Settlement) -> None:
        self.batches: list[list[Incoming[str]]] = []
        self.bugs = bugs or {}
        self.answers = answers
        self.gate = asyncio.Event()
        self.gate.set()

    @property
    def values(self) -> list[list[str]]:
        return [[incoming.value for incoming in batch] for batch in self.batches]

    def count(self) -> int:
        return sum(map(len, self.batches))

    async def handle(self, batch: Sequence[Incoming[str]]) -> Sequence[Settlement]:
        self.batches.append(list(batch))
        await self.gate.wait()
        for incoming in batch:
            if incoming.value in self.bugs:
                raise self.bugs[incoming.value]
        return [self.answers.get(incoming.value, Ack()) for incoming in batch]


def consumer(url: str, desk: Desk, *, most: int = 10, concurrency: int = 1) -> BatchConsumer[str]:
    return BatchConsumer(
        url,
        ["q"],
        bytes.decode,
        desk.handle,
        name="t",
        prefetch=100,
        most=most,
        linger=timedelta(milliseconds=50),
        concurrency=concurrency,
    )


async def test_a_batch_is_what_came_within_the_linger_up_to_the_most(broker: Broker) -> None:
    await broker.queue("q")
    await broker.put("q", *(b"%d" % n for n in range(25)))
    desk = Desk()
    async with running(consumer(broker.url, desk)):
        await eventually(lambda: desk.count() == 25)
    assert [len(batch) for batch in desk.batches] == [10, 10, 5]
    assert await broker.is_empty("q")


async def test_no_more_than_the_concurrency_run_at_once(broker: Broker) -> None:
    await broker.queue("q")
    await broker.put("q", *(b"%d" % n for n in range(40)))
    desk = Desk()
    desk.gate.clear()
    async with running(consumer(broker.url, desk, concurrency=2)):
        await eventually(lambda: len(desk.batches) == 2)
        await asyncio.sleep(0.2)
        assert len(desk.batches) == 2
        desk.gate.set()
        await eventually(lambda: desk.count() == 40)


async def test_a_poisonous_message_parks_alone_and_the_others_of_its_batch_are_handled(broker: Broker) -> None:
    await broker.queue("q")
    await broker.put("q", *(b"%d" % n for n in range(8)))
    desk = Desk({"5": KeyError("poison")})
    async with running(consumer(broker.url, desk)):
        parked = await broker.get("q.parked")
        await eventually(lambda: desk.count() == 16)
    assert parked.body == b"5"
    assert parked.headers["x-parked-why"] == "KeyError: 'poison'"
    assert [len(batch) for batch in desk.batches] == [8] + [1] * 8
    assert all(incoming.redelivered for batch in desk.batches[1:] for incoming in batch)
    assert await broker.is_empty("q")
    assert await broker.is_empty("q.parked")


async def test_bytes_that_do_not_decode_park_and_are_left_out_of_their_batch(broker: Broker) -> None:
    await broker.queue("q")
    await broker.put("q", b"good", b"\x80")
    desk = Desk()
    async with running(consumer(broker.url, desk)):
        assert (await broker.get("q.parked")).body == b"\x80"
        await eventually(lambda: desk.values == [["good"]])
    assert await broker.is_empty("q")


async def test_messages_are_decoded_when_their_batch_begins(broker: Broker) -> None:
    decoded, desk = [], Desk()

    def decode(body: bytes) -> str:
        decoded.append(body)
        return body.decode()

    await broker.queue("q")
    await broker.put("q", *(b"%d" % n for n in range(9)))
    desk.gate.clear()
    async with running(BatchConsumer(broker.url, ["q"], decode, desk.handle, name="t", prefetch=100, most=3, linger=timedelta(0))):
        await eventually(lambda: desk.count() > 0)
        await asyncio.sleep(0.2)
        assert len(decoded) == desk.count() <= 3
        desk.gate.set()
        await eventually(lambda: desk.count() == 9)
    assert len(decoded) == 9


async def test_each_message_of_a_batch_has_its_own_settlement(broker: Broker) -> None:
    await broker.queue("q")
    await broker.put("q", b"ack", b"park", b"retry")
    desk = Desk(park=Park("why"), retry=Retry(timedelta(seconds=0.1)))
    async with running(consumer(broker.url, desk)):
        assert (await broker.get("q.parked")).body == b"park"
        await eventually(lambda: desk.values[1:] == [["retry"]])
        desk.answers.clear()
        await eventually(lambda: len(desk.values) > 2)
    assert await broker.is_empty("q")


async def test_too_few_settlements_settle_nothing(broker: Broker) -> None:
    await broker.queue("q")
    await broker.put("q", b"a", b"b")
    lengths: list[int] = []

    async def forgetful(batch: Sequence[Incoming[str]]) -> Sequence[Settlement]:
        lengths.append(len(batch))
        return [Ack()]

    it = BatchConsumer(broker.url, ["q"], bytes.decode, forgetful, name="t", prefetch=9, most=9, linger=timedelta(milliseconds=50))
    async with running(it):
        await eventually(lambda: len(lengths) == 3)
    assert lengths == [2, 1, 1]


async def test_a_message_that_failed_three_times_before_is_handled_alone(broker: Broker) -> None:
    await broker.queue("q")
    await broker.put("q", b"suspect")
    for _ in range(3):
        await (await broker.get("q")).nack()
    await broker.put("q", b"a", b"b")
    desk = Desk()
    async with running(consumer(broker.url, desk)):
        await eventually(lambda: desk.count() == 3)
    assert sorted(desk.values, key=len) == [["suspect"], ["a", "b"]]
    assert next(batch for batch in desk.batches if len(batch) == 1)[0].failures == 3


async def test_an_outage_parks_nothing_and_the_batch_comes_again_whole(broker: Broker) -> None:
    await broker.queue("q")
    await broker.put("q", b"a", b"b")
    desk = Desk({"a": OSError("no database")})
    async with running(consumer(broker.url, desk)):
        await eventually(lambda: len(desk.batches) == 1)
        await asyncio.sleep(0.1)
        await broker.put("q", b"c")
        desk.bugs.clear()
        await eventually(lambda: desk.count() == 5)
    assert sorted(desk.values[1]) == ["a", "b", "c"]
    assert await broker.is_empty("q")
    assert await broker.is_empty("q.parked")


async def test_after_a_lost_connection_the_batch_comes_again(broker: Broker, relay: Relay) -> None:
    await broker.queue("q")
    await broker.put("q", b"a", b"b")
    desk = Desk()
    desk.gate.clear()
    async with running(consumer(relay.url, desk, concurrency=2)):
        await eventually(lambda: desk.count() == 2)
        relay.cut()
        await eventually(lambda: desk.count() == 4)
        desk.gate.set()
    assert [incoming.redelivered for batch in desk.batches for incoming in batch] == [False, False, True, True]
    assert await broker.is_empty("q")


async def test_stopping_lets_the_running_batch_end_and_requeues_the_rest(broker: Broker) -> None:
    await broker.queue("q")
    await broker.put("q", *(b"%d" % n for n in range(20)))
    desk = Desk()
    desk.gate.clear()
    it = consumer(broker.url, desk)
    task = asyncio.create_task(it.run())
    await eventually(lambda: desk.count() == 10)
    stopping = asyncio.create_task(it.stop())
    await asyncio.sleep(0.1)
    assert not stopping.done()
    desk.gate.set()
    await stopping
    await task
    assert {(await broker.get("q")).body for _ in range(10)} == {b"%d" % n for n in range(10, 20)}
    assert await broker.is_empty("q")
