from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from scaisend_webhook_fanout.backoff import CAP, FIRST, LIFETIME, GiveUp, TryAt, after

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@given(st.integers(1, 500), st.floats(0, 1, exclude_max=True), st.timedeltas(timedelta(seconds=1), LIFETIME))
def test_a_next_try_is_never_at_once_nor_beyond_the_cap_or_the_life(tries: int, jitter: float, left: timedelta) -> None:
    decided = after(tries, now=NOW, expires_at=NOW + left, jitter=jitter)
    assert isinstance(decided, TryAt)
    assert NOW + min(FIRST / 2, left) <= decided.at <= NOW + min(CAP, left)


@given(st.integers(1, 500), st.floats(0, 1, exclude_max=True))
def test_a_post_past_its_life_is_given_up(tries: int, jitter: float) -> None:
    assert after(tries, now=NOW, expires_at=NOW, jitter=jitter) == GiveUp()


def test_intervals_grow() -> None:
    waits = [
        decided.at - NOW for n in range(1, 12) if isinstance(decided := after(n, now=NOW, expires_at=NOW + LIFETIME, jitter=0.5), TryAt)
    ]
    assert waits == sorted(waits)
    assert len(waits) == 11
