from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.plumbing.amqp.link import delay_after


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_the_delay_doubles_to_its_bound_and_jitter_takes_up_to_half(failures: int, jitter: float) -> None:
    delay = delay_after(failures, jitter, first=0.2, longest=10.0)
    full = min(10.0, 0.2 * 2 ** min(failures, 40))
    assert full / 2 <= delay <= full
    assert delay_after(failures, 0, first=0.2, longest=10.0) == full
