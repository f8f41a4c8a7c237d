from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.mail.retry import GiveUp, RetryAt, RetrySchedule

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
attempts = st.integers(1, 10_000)
jitters = st.floats(0, 1, exclude_max=True)
ages = st.timedeltas(timedelta(0), timedelta(hours=80))


@st.composite
def schedules(draw: st.DrawFn) -> RetrySchedule:
    low, high, cap, lifetime = sorted(draw(st.lists(st.integers(1, 10**6), min_size=4, max_size=4)))
    seconds = [timedelta(seconds=value) for value in (low, high, cap, lifetime)]
    return RetrySchedule(seconds[0], seconds[1], draw(st.floats(1, 10)), seconds[2], seconds[3])


@given(schedules(), attempts)
def test_windows_grow_and_stay_below_the_cap(schedule: RetrySchedule, attempt: int) -> None:
    low, high = schedule.window(attempt)
    next_low, next_high = schedule.window(attempt + 1)
    assert schedule.first_low <= low <= high <= schedule.cap
    assert low <= next_low
    assert high <= next_high


@given(schedules(), attempts, ages, jitters)
def test_a_retry_lies_in_its_window_and_within_the_life_of_the_delivery(
    schedule: RetrySchedule, attempt: int, age: timedelta, jitter: float
) -> None:
    low, high = schedule.window(attempt)
    match schedule.after(attempt, accepted_at=NOW - age, now=NOW, jitter=jitter):
        case RetryAt(at):
            assert NOW + low <= at <= NOW + high
            assert at <= NOW - age + schedule.lifetime
        case GiveUp():
            assert NOW + high > NOW - age + schedule.lifetime


@given(schedules(), attempts, jitters, jitters)
def test_more_jitter_is_never_earlier(schedule: RetrySchedule, attempt: int, one: float, other: float) -> None:
    less, more = (schedule.after(attempt, accepted_at=NOW, now=NOW, jitter=jitter) for jitter in sorted((one, other)))
    assert isinstance(more, GiveUp) or (isinstance(less, RetryAt) and less.at <= more.at)


def test_the_whole_window_is_used() -> None:
    schedule = RetrySchedule()
    assert schedule.after(1, accepted_at=NOW, now=NOW, jitter=0.0) == RetryAt(NOW + timedelta(minutes=1))
    assert schedule.after(1, accepted_at=NOW, now=NOW, jitter=0.5) == RetryAt(NOW + timedelta(minutes=3))
    assert schedule.window(1) == (timedelta(minutes=1), timedelta(minutes=5))
    assert schedule.window(2) == (timedelta(minutes=2), timedelta(minutes=10))
    assert schedule.window(20) == (timedelta(hours=2), timedelta(hours=4))


@given(st.lists(jitters, min_size=200, max_size=200))
def test_a_mail_is_tried_some_dozens_of_times_and_then_given_up(dice: list[float]) -> None:
    schedule, now, tries = RetrySchedule(), NOW, 1
    for jitter in dice:
        step = schedule.after(tries, accepted_at=NOW, now=now, jitter=jitter)
        if isinstance(step, GiveUp):
            break
        now, tries = step.at, tries + 1
    assert 20 <= tries <= 50
    assert NOW + timedelta(hours=68) < now <= NOW + timedelta(hours=72)


def test_a_schedule_that_goes_nowhere_is_refused() -> None:
    minute, hour = timedelta(minutes=1), timedelta(hours=1)
    for low, high, factor, cap, lifetime in [
        (timedelta(0), minute, 2, hour, hour),
        (hour, minute, 2, hour, hour),
        (minute, hour, 2, minute, hour),
        (minute, hour, 2, hour, minute),
        (minute, minute, 0.5, hour, hour),
    ]:
        with pytest.raises(ValueError, match="a retry schedule needs"):
            RetrySchedule(low, high, factor, cap, lifetime)
