"""Concurrency."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scaisend_deliverer.concurrency import LATE, LEAST, PUNCTUAL, Concurrency

looks = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)))


@given(st.integers(1, 1000), looks)
def test_it_stays_between_the_least_and_the_most(most: int, story: list[tuple[float, float]]) -> None:
    concurrency = Concurrency.up_to(most)
    for lag, use in story:
        concurrency = concurrency.after_look(lag, int(use * concurrency.allowed))
        assert min(LEAST, most) <= concurrency.allowed <= most


@given(looks)
def test_it_falls_when_late_and_rises_when_punctual(story: list[tuple[float, float]]) -> None:
    concurrency = Concurrency.up_to(500)
    for lag, use in story:
        under_way = int(use * concurrency.allowed)
        after = concurrency.after_look(lag, under_way)
        assert after.allowed <= concurrency.allowed or lag < PUNCTUAL
        assert after.allowed >= concurrency.allowed or lag > LATE
        concurrency = after


def test_a_punctual_loop_that_uses_all_it_may_soon_has_hundreds_under_way() -> None:
    concurrency = Concurrency.up_to(500)
    for _ in range(50):  # looks, of which there are 50 a second
        concurrency = concurrency.after_look(0.001, int(concurrency.allowed))
    assert concurrency.allowed == 500


def test_what_is_not_used_does_not_grow() -> None:
    assert Concurrency.up_to(500).after_look(0.0, LEAST - 1).allowed == LEAST
