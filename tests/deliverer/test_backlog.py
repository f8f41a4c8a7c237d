"""The backlog of a path."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.mail.drain import LONGEST_AWAY, SOONEST_BACK
from scaisend_common.messages import Stream
from scaisend_deliverer.backlog import FIRST_RATE, LEAST_READY, READY_SECONDS, WORTH_TELLING, Backlog

BULK = Stream.BULK


@given(st.lists(st.tuples(st.integers(0, 2000), st.booleans())))
def test_the_rate_stays_between_what_was_seen_and_room_follows_it(seconds: list[tuple[int, bool]]) -> None:
    backlog = Backlog()
    seen = [FIRST_RATE, *(float(ended) for ended, _ in seconds)]
    for ended, is_busy in seconds:
        backlog.after_second(ended, is_busy=is_busy)
        assert min(seen) <= backlog.rate <= max(seen)
        assert backlog.room == max(LEAST_READY, int(backlog.rate * READY_SECONDS))


def test_a_path_that_does_five_a_second_soon_keeps_only_seconds_of_it_ready() -> None:
    backlog = Backlog()
    for _ in range(8):
        backlog.after_second(5, is_busy=True)
    assert 100 <= backlog.room <= 110


def test_an_idle_second_does_not_make_a_path_slow() -> None:
    backlog = Backlog()
    backlog.after_second(0, is_busy=False)
    assert backlog.rate == FIRST_RATE


def test_a_site_that_stalls_for_seconds_gets_its_jobs_back_at_the_rate_that_it_had() -> None:
    backlog = Backlog()
    for ended in [10] * 10 + [0] * 10:
        backlog.after_second(ended, is_busy=ended == 0)
    assert backlog.room == LEAST_READY
    assert max(backlog.send_away(BULK, "ann", 0.0, 0.5) for _ in range(100)) < SOONEST_BACK + 15


def test_a_site_that_never_did_anything_gets_a_few_jobs_back_soon_and_masses_later() -> None:
    backlog = Backlog()
    for _ in range(10):
        backlog.after_second(0, is_busy=True)
    backs = [backlog.send_away(BULK, "ann", 0.0, 0.5) for _ in range(100_000)]
    assert max(backs[:200]) < SOONEST_BACK + 30
    assert sum(away < 300 for away in backs) < 5000
    assert max(backs) <= LONGEST_AWAY


@given(
    st.lists(st.tuples(st.sampled_from(Stream), st.sampled_from(["ann", "bob"])), min_size=1, max_size=300),
    st.floats(0, 1, exclude_max=True),
)
def test_tenants_have_lines_of_their_own_in_each_stream_and_only_long_ones_are_told(sent: list[tuple[Stream, str]], jitter: float) -> None:
    backlog = Backlog()
    backlog.after_second(5, is_busy=True)
    for stream, tenant_id in sent:
        assert SOONEST_BACK <= backlog.send_away(stream, tenant_id, 100.0, jitter) <= LONGEST_AWAY
    assert len(backlog) == len(set(sent))
    lines = backlog.lines(100.0)
    assert {(line.stream, line.tenant_id) for line in lines} <= set(sent)
    assert all(line.seconds > WORTH_TELLING for line in lines)
    assert [line.seconds for line in lines] == sorted((line.seconds for line in lines), reverse=True)
    assert backlog.lines(100.0 + LONGEST_AWAY) == ()
    assert len(backlog) == 0
