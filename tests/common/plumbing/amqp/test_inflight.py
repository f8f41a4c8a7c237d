from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.plumbing.amqp.inflight import InFlight
from scaisend_common.plumbing.amqp.settlement import Refused, Unavailable

_confirms = st.lists(st.tuples(st.integers(1, 25), st.booleans(), st.booleans()), max_size=25)


@given(st.integers(0, 25), _confirms)
def test_each_confirm_settles_exactly_what_it_names(published: int, confirms: list[tuple[int, bool, bool]]) -> None:
    async def scene() -> None:
        in_flight = InFlight(60)
        futures = {tag: in_flight.add(tag, "e") for tag in range(1, published + 1)}
        expected: dict[int, bool] = {}
        for tag, multiple, taken in confirms:
            in_flight.confirm(tag, multiple, taken)
            for each in range(1, tag + 1) if multiple else (tag,):
                expected.setdefault(each, taken)
        for tag, future in futures.items():
            assert future.done() == (tag in expected)
            if future.done():
                assert isinstance(future.exception(), Refused) != expected[tag]
        assert len(in_flight) == sum(tag not in expected for tag in futures)
        in_flight.fail_all(lambda _: Unavailable("done"))
        await asyncio.gather(*futures.values(), return_exceptions=True)

    asyncio.run(scene())


async def test_what_is_not_confirmed_in_time_is_unavailable_and_a_late_confirm_is_ignored() -> None:
    in_flight = InFlight(0.05)
    first = in_flight.add(1, "e")
    await asyncio.sleep(0.03)
    second = in_flight.add(2, "e")
    with pytest.raises(Unavailable, match="no confirm"):
        await first
    assert not second.done()
    in_flight.confirm(2, True, True)
    await second
    in_flight.confirm(1, False, True)
    assert len(in_flight) == 0


async def test_a_caller_that_stopped_waiting_disturbs_nobody() -> None:
    in_flight = InFlight(60)
    gone, stays = in_flight.add(1, "e"), in_flight.add(2, "e")
    gone.cancel()
    in_flight.confirm(2, True, True)
    await stays
    await in_flight.settled()


async def test_waiting_until_settled_ends_with_the_time_out() -> None:
    in_flight = InFlight(0.02)
    future = in_flight.add(1, "e")
    await in_flight.settled()
    assert isinstance(future.exception(), Unavailable)


async def test_failing_all_asks_why_by_exchange() -> None:
    in_flight = InFlight(60)
    one, other = in_flight.add(1, "e"), in_flight.add(2, "f")
    in_flight.fail_all(Unavailable)
    assert [str(future.exception()) for future in (one, other)] == ["e", "f"]
