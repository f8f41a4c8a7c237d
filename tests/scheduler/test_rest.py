"""Rests of bulk."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scaisend_scheduler.route.rest import HEEDED, LONGEST, SHARE, rest_seconds

seconds = st.floats(-1, 1000)  # a clock may be set back meanwhile


@given(st.integers(1, 100), seconds, seconds)
def test_a_rest_is_bounded_and_never_negative(deliveries: int, took: float, since: float) -> None:
    assert 0 <= rest_seconds(deliveries, 100, took, since) <= LONGEST


@given(st.integers(1, 99), seconds)
def test_who_routes_more_at_once_rests_no_less(deliveries: int, took: float) -> None:
    assert rest_seconds(deliveries, 100, took, 0.0) <= rest_seconds(deliveries + 1, 100, took, 0.0)


def test_a_full_load_is_followed_by_a_multiple_of_its_time_and_a_single_mail_by_almost_nothing() -> None:
    assert rest_seconds(100, 100, 0.01, 0.0) == SHARE * 0.01
    assert rest_seconds(1, 100, 0.005, 0.0) < 0.0002


def test_bulk_alone_does_not_rest() -> None:
    assert rest_seconds(100, 100, 0.01, HEEDED) > 0
    assert rest_seconds(100, 100, 0.01, HEEDED + 0.1) == 0
