"""Batches."""

from __future__ import annotations

import asyncio

import pytest

from scaisend_deliverer.batches import Batches


async def test_those_who_ask_together_travel_together_and_get_their_own_answer() -> None:
    calls: list[list[int]] = []

    async def double(items: list[int]) -> list[int]:
        calls.append(items)
        await asyncio.sleep(0.02)
        return [2 * item for item in items]

    batches: Batches[int, int] = Batches(double, most=10, linger=0.005)
    assert await asyncio.gather(*(batches.add(n) for n in range(25))) == [2 * n for n in range(25)]
    assert [len(call) for call in calls] == [10, 10, 5]
    await batches.drained()


async def test_while_a_call_is_under_way_the_next_batch_gathers() -> None:
    calls: list[list[int]] = []

    async def slowly(items: list[int]) -> list[None]:
        calls.append(items)
        await asyncio.sleep(0.05)
        return [None] * len(items)

    batches: Batches[int, None] = Batches(slowly, most=10, linger=0)
    first = batches.add(1)
    await asyncio.sleep(0.01)
    rest = [batches.add(n) for n in (2, 3)]
    await asyncio.gather(first, *rest)
    assert calls == [[1], [2, 3]]


async def test_the_next_batch_gathers_for_its_time_when_the_call_before_has_ended() -> None:
    calls: list[list[int]] = []
    go = asyncio.Event()

    async def noted(items: list[int]) -> list[None]:
        calls.append(items)
        await go.wait()
        return [None] * len(items)

    batches: Batches[int, None] = Batches(noted, most=10, linger=1)
    first = batches.add(1)
    async with asyncio.timeout(10):
        while not calls:  # noqa: ASYNC110 - the call waits for us
            await asyncio.sleep(0.01)
    second = batches.add(2)
    go.set()
    await first
    await asyncio.sleep(0.05)
    await asyncio.gather(second, batches.add(3))
    assert calls == [[1], [2, 3]]


async def test_a_failure_reaches_everybody_of_its_batch_and_nobody_else() -> None:
    async def odd(items: list[int]) -> list[int]:
        if 1 in items:
            raise LookupError("no")
        return items

    batches: Batches[int, int] = Batches(odd, most=2, linger=0)
    answers = await asyncio.gather(*(batches.add(n) for n in (1, 2, 3, 4)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [LookupError, LookupError, int, int]


async def test_who_stops_waiting_disturbs_nobody() -> None:
    async def same(items: list[int]) -> list[int]:
        await asyncio.sleep(0.02)
        return items

    batches: Batches[int, int] = Batches(same, most=10, linger=0)
    gone, stays = batches.add(1), batches.add(2)
    gone.cancel()
    assert await stays == 2
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_who_waits_least_takes_the_others_along() -> None:
    calls: list[list[int]] = []

    async def noted(items: list[int]) -> list[None]:
        calls.append(items)
        return [None] * len(items)

    batches: Batches[int, None] = Batches(noted, most=10, linger=0)
    patient = batches.add(1, linger=60)
    await asyncio.sleep(0.02)
    assert not patient.done()
    async with asyncio.timeout(10):
        await asyncio.gather(patient, batches.add(2))
    assert calls == [[1, 2]]


async def test_the_patient_hold_up_nobody_who_came_before() -> None:
    calls: list[list[int]] = []

    async def noted(items: list[int]) -> list[None]:
        calls.append(items)
        return [None] * len(items)

    batches: Batches[int, None] = Batches(noted, most=10, linger=0)
    async with asyncio.timeout(10):
        await asyncio.gather(batches.add(1), batches.add(2, linger=60))
    assert calls == [[1, 2]]
