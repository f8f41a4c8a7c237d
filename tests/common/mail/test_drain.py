"""Drains."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.mail.drain import LONGEST_AWAY, SOONEST_BACK, Drain

jitters = st.floats(0, 1, exclude_max=True)
rates = st.floats(0, 2000)


@given(rates, st.integers(1, 300), jitters)
def test_what_is_sent_away_comes_back_within_bounds_and_no_faster_than_the_path_works(rate: float, jobs: int, jitter: float) -> None:
    drain, now, backs = Drain(rate), 5000.0, []
    for _ in range(jobs):
        away, drain = drain.send_away(now, jitter)
        backs.append(away)
    assert all(SOONEST_BACK <= away <= LONGEST_AWAY for away in backs)
    in_turn = [away for away in backs if away < LONGEST_AWAY / 2]
    assert all(later - sooner >= 0.99 / max(rate, 1e-9) for sooner, later in pairwise(in_turn))


def test_a_hundred_thousand_jobs_of_a_slow_path_do_not_come_back_together() -> None:
    drain, backs = Drain(5.0), []
    for n in range(100_000):
        away, drain = drain.send_away(5000.0, n / 100_000)
        backs.append(away)
    busiest = max(sum(start <= away < start + 60 for away in backs) for start in range(0, int(LONGEST_AWAY), 60))
    assert busiest < 100_000 * 60 / (LONGEST_AWAY / 2) * 1.3


@given(rates, st.integers(0, 100), st.floats(0, 2 * LONGEST_AWAY))
def test_a_line_gets_shorter_with_time_and_is_gone_when_it_is_worked_off(rate: float, jobs: int, later: float) -> None:
    drain = Drain(rate)
    for _ in range(jobs):
        _, drain = drain.send_away(0.0, 0.0)
    assert 0.0 <= drain.seconds_ahead(later) <= drain.seconds_ahead(0.0) <= LONGEST_AWAY
    assert drain.seconds_ahead(LONGEST_AWAY) == 0.0
