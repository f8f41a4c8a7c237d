"""The cache answers from memory, gets old in time, and helps over an outage."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaisend_api.cache import AWAY, FRESH, RENEWED, STALE, UNKNOWN, Cache
from scaisend_api.throttle import TokenBucket
from scaisend_common.plumbing.postgres import DatabaseAway


class Source:
    """A database with one value a key, which counts its readers; and a clock."""

    def __init__(self) -> None:
        self.values: dict[str, str | None] = {"k": "one"}
        self.reads = 0
        self.is_away = False
        self.now = 1000.0
        self.gate = asyncio.Event()
        self.gate.set()
        self.cache: Cache[str, str] = Cache(self.load, lambda: self.now)

    async def load(self, key: str) -> str | None:
        self.reads += 1
        value = self.values.get(key)
        await self.gate.wait()
        if self.is_away:
            raise DatabaseAway("away")
        return value


@pytest.fixture
def source() -> Source:
    return Source()


async def test_a_value_is_read_once_a_minute(source: Source) -> None:
    assert [await source.cache.get("k") for _ in range(3)] == ["one"] * 3
    source.now += RENEWED - 1
    await source.cache.get("k")
    assert source.reads == 1
    source.now += FRESH
    source.values["k"] = "two"
    assert await source.cache.get("k") == "two"
    assert source.reads == 2


async def test_a_value_that_is_in_use_is_read_anew_while_the_old_one_is_given(source: Source) -> None:
    await source.cache.get("k")
    source.values["k"] = "two"
    source.now += RENEWED + 1
    assert await source.cache.get("k") == "one"
    await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    assert await source.cache.get("k") == "two"
    assert source.reads == 2


async def test_many_who_ask_at_once_cause_one_read(source: Source) -> None:
    assert await asyncio.gather(*(source.cache.get("k") for _ in range(50))) == ["one"] * 50
    assert source.reads == 1


async def test_an_unknown_key_is_remembered_for_seconds_only(source: Source) -> None:
    assert [await source.cache.get("new"), await source.cache.get("new")] == [None, None]
    assert source.reads == 1
    source.values["new"] = "now known"
    source.now += UNKNOWN + 0.1
    assert await source.cache.get("new") == "now known"


async def test_while_the_database_is_away_what_is_known_is_given_for_an_hour(source: Source) -> None:
    await source.cache.get("k")
    source.is_away = True
    source.now += STALE - 1
    assert await source.cache.get("k") == "one"
    assert await source.cache.get("k") == "one"
    assert source.reads == 2  # it is not asked again at once
    with pytest.raises(DatabaseAway):
        await source.cache.get("unknown")
    source.now += AWAY + 1
    with pytest.raises(DatabaseAway):
        await source.cache.get("k")
    source.is_away = False
    assert await source.cache.get("k") == "one"


async def test_a_key_that_is_gone_when_the_database_is_back_is_gone(source: Source) -> None:
    await source.cache.get("k")
    source.values["k"] = None
    source.now += FRESH + 1
    assert await source.cache.get("k") is None


async def test_what_is_forgotten_is_read_anew_and_not_served_stale(source: Source) -> None:
    await source.cache.get("k")
    source.cache.forget(lambda value: value == "one")
    source.is_away = True
    with pytest.raises(DatabaseAway):
        await source.cache.get("k")


async def test_what_is_in_doubt_is_read_anew_but_served_while_the_database_is_away(source: Source) -> None:
    await source.cache.get("k")
    source.cache.doubt()
    source.is_away = True
    assert await source.cache.get("k") == "one"
    source.is_away = False
    source.now += AWAY + 1
    source.values["k"] = "two"
    assert await source.cache.get("k") == "two"


async def test_what_was_read_before_a_flush_is_not_kept_after_it(source: Source) -> None:
    source.gate.clear()
    reading = asyncio.create_task(source.cache.get("k"))
    await asyncio.sleep(0.01)
    source.cache.forget(lambda _: True)
    source.values["k"] = "two"
    source.gate.set()
    assert await reading == "one"
    assert await source.cache.get("k") == "two"


@given(st.lists(st.tuples(st.floats(-1, 10), st.integers(1, 60)), max_size=50))
def test_a_bucket_never_gives_more_than_its_burst_and_its_rate(takes: list[tuple[float, int]]) -> None:
    bucket = TokenBucket(rate=5, burst=50, tokens=50, counted_at=0)
    now, forward, taken = 0.0, 0.0, 0
    for step, amount in takes:
        now += step
        forward += max(0.0, step)
        if bucket.take(amount, now):
            taken += amount
        assert -50 <= bucket.tokens <= 50
    assert taken <= 50 + 5 * forward + 1e-6


@given(taken=st.floats(0, 1e6), rate=st.floats(1, 1000), share=st.floats(0.01, 0.5))
def test_who_slows_down_finds_tokens_again_however_many_were_taken(taken: float, rate: float, share: float) -> None:
    bucket = TokenBucket(rate, burst=2 * rate, tokens=2 * rate, counted_at=0)
    bucket.take(taken, 0)
    assert any(bucket.take(share * rate, now) for now in range(1, 7))


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(1, 60)), max_size=50), st.floats(0, 10))
def test_a_bucket_has_what_it_would_give(takes: list[tuple[float, int]], later: float) -> None:
    bucket, now = TokenBucket(rate=5, burst=50, tokens=50, counted_at=0), 0.0
    for step, amount in takes:
        now += step
        bucket.take(amount, now)
    before = bucket.tokens
    had = bucket.has(1, now + later)
    assert bucket.tokens == before
    assert bucket.take(1, now + later) is had
