"""What follows from the end of an attempt."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.deliverer.making import NOW, a_job

from scaisend_common.mail.events import BounceEvent, DeferredEvent, DeliveredEvent, DroppedEvent, Hop, UnknownEvent
from scaisend_common.mail.reply import Reply
from scaisend_common.mail.retry import RetrySchedule
from scaisend_common.mail.verdict import Bounced, BounceKind, Deferred, Delivered, Unknown
from scaisend_common.messages import WhyLater, decoder, encode
from scaisend_deliverer.outcome import MOST_UNKNOWNS, Dropped, Ending, Outcome, conclude, events_of, later_of, put_off

SCHEDULE = RetrySchedule()
replies = st.builds(Reply, st.integers(200, 599), st.sampled_from(["", "4.2.0", "5.1.1"]), st.text(max_size=20))
endings = st.one_of(
    st.builds(Delivered, replies),
    st.builds(Deferred, st.text(max_size=20), st.none() | replies),
    st.builds(Bounced, st.text(max_size=20), st.sampled_from(["5.1.1", "5.7.1"]), st.sampled_from(list(BounceKind)), st.none() | replies),
    st.builds(Unknown, st.text(max_size=20)),
    st.builds(Dropped, st.text(max_size=20)),
)
jitters = st.floats(0, 1, exclude_max=True)
ages = st.floats(0, 80 * 3600)
attempts = st.integers(1, 60)
decode = decoder(Outcome)


def concluded(
    ending: Ending, *, attempt: int = 1, age: float = 0, jitter: float = 0.5, unknowns: int = 0, at_most_once: bool = False
) -> tuple:  # type: ignore[type-arg]
    job = a_job(now=NOW, attempt=attempt, unknowns=unknowns)
    return job, conclude(job, ending, Hop(ms=7), schedule=SCHEDULE, at_most_once=at_most_once, now=NOW + age, jitter=jitter)


@given(endings, attempts, ages, jitters, st.integers(0, 2), st.booleans())
def test_a_delivery_ends_or_goes_on_and_never_both(
    ending: Ending, attempt: int, age: float, jitter: float, unknowns: int, once: bool
) -> None:
    job, outcome = concluded(ending, attempt=attempt, age=age, jitter=jitter, unknowns=unknowns, at_most_once=once)
    events, later = events_of(job, outcome), later_of(job, outcome)
    final = [event for event in events if isinstance(event, DeliveredEvent | BounceEvent | DroppedEvent)]
    assert len(final) <= 1
    if once and isinstance(ending, Unknown):
        assert not final
        assert later is None
    else:
        assert (later is None) == (len(final) == 1)
    assert {event.delivery_id for event in events} == {job.delivery_id}
    assert all(event.attempt == attempt and event.at == NOW + age for event in events)


@given(endings, attempts, ages, jitters)
def test_what_the_ledger_gives_back_is_published_the_same(ending: Ending, attempt: int, age: float, jitter: float) -> None:
    job, outcome = concluded(ending, attempt=attempt, age=age, jitter=jitter)
    found = decode(encode(outcome))
    assert [encode(event) for event in events_of(job, found)] == [encode(event) for event in events_of(job, outcome)]
    assert later_of(job, found) == later_of(job, outcome)


@given(st.builds(Deferred, st.text(max_size=20), st.none() | replies), attempts, ages, jitters)
def test_no_attempt_starts_after_the_deliverys_life(ending: Deferred, attempt: int, age: float, jitter: float) -> None:
    job, outcome = concluded(ending, attempt=attempt, age=age, jitter=jitter)
    later = later_of(job, outcome)
    if later is None:
        assert isinstance(outcome.ending, Bounced)
        assert outcome.ending.kind is BounceKind.BLOCKED
        assert outcome.ending.why.startswith("expired")
    else:
        assert NOW + age < later.due_at <= job.expires_at
        assert later.job.attempt == attempt + 1
        assert later.why is WhyLater.RETRY
        assert not later.job.repeat
        assert later.job.routed_at == NOW + age
        assert isinstance(events_of(job, outcome)[0], DeferredEvent)


def test_three_times_in_doubt_is_a_block() -> None:
    job, outcome = concluded(Unknown("lost"), unknowns=0)
    assert [type(event) for event in events_of(job, outcome)] == [UnknownEvent]
    assert (later := later_of(job, outcome)) is not None
    assert later.job.unknowns == 1
    job, outcome = concluded(Unknown("lost"), unknowns=MOST_UNKNOWNS - 1)
    unknown, bounce = events_of(job, outcome)
    assert isinstance(unknown, UnknownEvent)
    assert isinstance(bounce, BounceEvent)
    assert bounce.kind is BounceKind.BLOCKED
    assert later_of(job, outcome) is None


def test_a_deferral_does_not_count_as_doubt() -> None:
    job, outcome = concluded(Deferred("busy"), unknowns=2)
    assert (later := later_of(job, outcome)) is not None
    assert later.job.unknowns == 2


def test_the_life_of_a_scheduled_mail_begins_at_its_send_at() -> None:
    job = replace(a_job(now=NOW), expires_at=NOW + timedelta(hours=72 + 72).total_seconds())
    outcome = conclude(job, Deferred("busy"), Hop(), schedule=SCHEDULE, at_most_once=False, now=NOW + 100 * 3600, jitter=0)
    assert outcome.next_at is not None


@given(st.sampled_from(list(WhyLater)), st.booleans(), st.booleans())
def test_what_is_put_off_is_the_same_attempt(why: WhyLater, was: bool, repeat: bool) -> None:
    job = a_job(now=NOW, repeat=was)
    item = put_off(job, why, NOW + 30, repeat=repeat)
    assert item.job == replace(job, repeat=repeat)
    assert item.due_at == NOW + 30
