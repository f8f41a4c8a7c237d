"""Runs."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.runs import runs_of


@given(st.lists(st.binary(max_size=30)), st.integers(1, 5), st.integers(1, 60))
def test_runs_hold_every_part_in_order_within_their_bounds(parts: list[bytes], most: int, limit: int) -> None:
    runs = [[bytes(part) for part in run] for run in runs_of(parts, most, limit)]
    assert [part for run in runs for part in run] == parts
    assert all(0 < len(run) <= most and (len(run) == 1 or sum(map(len, run)) <= limit) for run in runs)


@given(st.lists(st.binary(max_size=30)), st.integers(1, 5), st.integers(1, 60))
def test_no_run_ends_before_it_must(parts: list[bytes], most: int, limit: int) -> None:
    runs = [[bytes(part) for part in run] for run in runs_of(parts, most, limit)]
    for run, following in pairwise(runs):
        assert len(run) == most or sum(map(len, run)) + len(following[0]) > limit
