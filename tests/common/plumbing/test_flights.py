import asyncio

import pytest

from scaisend_common.plumbing.flights import Flights


async def test_those_who_ask_meanwhile_share_one_fetch() -> None:
    flights: Flights[str, int] = Flights()
    fetched = []

    async def fetch(key: str) -> int:
        fetched.append(key)
        await asyncio.sleep(0.01)
        return len(fetched)

    assert await asyncio.gather(*(flights.join("a", fetch) for _ in range(50))) == [1] * 50
    assert await flights.join("a", fetch) == 2
    assert not flights


async def test_a_waiter_that_leaves_does_not_end_the_fetch_of_the_others() -> None:
    flights: Flights[str, str] = Flights()
    may_land = asyncio.Event()

    async def fetch(key: str) -> str:
        await may_land.wait()
        return key

    leaver, stayer = (asyncio.create_task(flights.join("a", fetch)) for _ in range(2))
    await asyncio.sleep(0)
    leaver.cancel()
    may_land.set()
    assert await stayer == "a"
    with pytest.raises(asyncio.CancelledError):
        await leaver


async def test_a_failure_goes_to_all_who_wait_and_is_not_kept() -> None:
    flights: Flights[str, str] = Flights()

    async def fail(key: str) -> str:
        await asyncio.sleep(0)
        raise LookupError(key)

    async def succeed(key: str) -> str:
        return key

    assert all(
        isinstance(each, LookupError) for each in await asyncio.gather(*(flights.join("a", fail) for _ in range(3)), return_exceptions=True)
    )
    assert await flights.join("a", succeed) == "a"
