from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.plumbing.amqp.batching import Batching

_arrivals = st.lists(st.tuples(st.floats(0, 5), st.booleans()), max_size=60)


@given(_arrivals, st.integers(1, 10), st.floats(0, 2))
def test_every_item_comes_out_once_in_order_and_never_in_too_large_a_batch(
    arrivals: list[tuple[float, bool]], most: int, linger: float
) -> None:
    batching: Batching[int] = Batching(most, linger)
    now, out = 0.0, []
    for n, (passed, alone) in enumerate(arrivals):
        now += passed
        batching.add(n, now, alone=alone)
        if batch := batching.next(now):
            out.append(batch)
    while (due_at := batching.due_at()) is not None:
        now = max(now, due_at)
        out.append(batching.next(now))
        assert out[-1], "what is due comes out"
    loners = {n for n, (_, is_alone) in enumerate(arrivals) if is_alone}
    assert sorted(n for batch in out for n in batch) == list(range(len(arrivals)))
    assert all(len(batch) <= most for batch in out)
    assert all(len(batch) == 1 for batch in out if loners & set(batch))
    together = [n for batch in out for n in batch if n not in loners]
    assert together == sorted(together)


def test_a_batch_waits_for_the_linger_of_its_first_item() -> None:
    batching: Batching[str] = Batching(3, 1.0)
    batching.add("a", 10.0, alone=False)
    batching.add("b", 10.9, alone=False)
    assert batching.next(10.9) == []
    assert batching.due_at() == 11.0
    assert batching.next(11.0) == ["a", "b"]


def test_a_full_batch_does_not_wait() -> None:
    batching: Batching[str] = Batching(2, 1.0)
    for item in "abc":
        batching.add(item, 10.0, alone=False)
    assert batching.next(10.0) == ["a", "b"]
    assert batching.next(10.0) == []


def test_who_goes_alone_and_whole_batches_take_turns() -> None:
    batching: Batching[str] = Batching(2, 0.0)
    for item in "abcd":
        batching.add(item, 0.0, alone=False)
    for item in "XYZ":
        batching.add(item, 0.0, alone=True)
    assert [batching.next(0.0) for _ in range(6)] == [["X"], ["a", "b"], ["Y"], ["c", "d"], ["Z"], []]


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Batching(0, 1.0)
