from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.common.plumbing.amqp.conftest import Broker, Relay, eventually

from scaisend_common.plumbing.amqp import ExclusiveQueues


async def test_one_owner_at_a_time(broker: Broker) -> None:
    async with ExclusiveQueues(broker.url, "a") as a, ExclusiveQueues(broker.url, "b") as b:
        await eventually(lambda: a.is_ready and b.is_ready)
        assert await a.acquire("own.1")
        assert await a.acquire("own.1"), "holding is holding"
        assert not await b.acquire("own.1")
        assert await b.acquire("own.2")
        assert (set(a.held()), set(b.held())) == ({"own.1"}, {"own.2"})
        await a.release("own.1")
        assert await b.acquire("own.1")
        assert (len(a.held()), set(b.held())) == (0, {"own.1", "own.2"})


async def test_of_many_that_want_it_at_once_one_gets_it(broker: Broker) -> None:
    async with ExclusiveQueues(broker.url, "a") as a, ExclusiveQueues(broker.url, "b") as b, ExclusiveQueues(broker.url, "c") as c:
        await eventually(lambda: a.is_ready and b.is_ready and c.is_ready)
        for n in range(10):
            assert sum(await asyncio.gather(*(each.acquire(f"own.{n}") for each in (a, b, c)))) == 1


async def test_asking_twice_at_once_is_asking_once(broker: Broker) -> None:
    async with ExclusiveQueues(broker.url, "a") as a, ExclusiveQueues(broker.url, "b") as b:
        await eventually(lambda: a.is_ready and b.is_ready)
        assert all(await asyncio.gather(a.acquire("own.1"), a.acquire("own.1")))
        await a.release("own.1")
        assert await b.acquire("own.1")


async def test_leaving_gives_everything_up(broker: Broker) -> None:
    async with ExclusiveQueues(broker.url, "b") as b:
        async with ExclusiveQueues(broker.url, "a") as a:
            await eventually(lambda: a.is_ready and b.is_ready)
            assert await a.acquire("own.1")
        assert await b.acquire("own.1")


async def test_a_lost_connection_loses_everything_and_says_so(broker: Broker, relay: Relay) -> None:
    losses: list[int] = []
    async with (
        ExclusiveQueues(relay.url, "a", lost=lambda: losses.append(1)) as a,
        ExclusiveQueues(broker.url, "b") as b,
    ):
        await eventually(lambda: a.is_ready and b.is_ready)
        assert await a.acquire("own.1")
        relay.cut()
        await eventually(lambda: losses == [1])
        assert a.held() == frozenset()
        assert not a.is_fresh
        assert await b.acquire("own.1")
        await eventually(lambda: a.is_ready)
        assert not await a.acquire("own.1")
    assert losses == [1], "nothing was held at the end"


async def test_an_owner_that_hears_nothing_is_not_fresh_before_another_may_own(broker: Broker, relay: Relay) -> None:
    async with ExclusiveQueues(relay.url, "a", heartbeat=2) as a, ExclusiveQueues(broker.url, "b") as b:
        await eventually(lambda: a.is_ready and b.is_ready)
        assert await a.acquire("own.1")
        await asyncio.sleep(3)
        assert a.is_fresh, "the heartbeats of an idle connection keep it fresh"
        relay.stall()
        loop = asyncio.get_running_loop()
        stalled_at, stale_at = loop.time(), 0.0
        while not await b.acquire("own.1"):
            if not stale_at and not _is_fresh(a):
                stale_at = loop.time()
            await asyncio.sleep(0.05)
        assert 0 < stale_at - stalled_at <= 2.2
        assert loop.time() - stale_at > 0.5


async def test_without_a_connection_nothing_can_be_acquired(free_port: Callable[[], int]) -> None:
    async with ExclusiveQueues(f"amqp://127.0.0.1:{free_port()}", "a") as a:
        assert not await a.acquire("own.1")
        assert not a.is_fresh
        await a.release("own.1")


def _is_fresh(queues: ExclusiveQueues) -> bool:
    return queues.is_fresh
