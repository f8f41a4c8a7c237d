from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.scheduler.making import T0, TENANT, a_submission, submissions

from scaisend_common.mail.events import DroppedEvent, ProcessedEvent
from scaisend_common.mail.ids import event_id
from scaisend_common.messages import Personalizations, Submission, WhyLater
from scaisend_common.topology import Topology
from scaisend_scheduler.barred import Barred
from scaisend_scheduler.route.expand import Delivery, expand
from scaisend_scheduler.route.plan import plan_of
from scaisend_scheduler.routing import Egress

EGRESS = Egress("default", "default", Topology())
SITES = {"plain.test": "mx.test", "tls.test": "mx.test", "7bit.test": "7bit.test", "elsewhere.test": "google"}
NOBODY = Barred(frozenset(), {})


def load_of(*submissions: Submission, repeat: bool = False) -> list[Delivery]:
    return [
        delivery
        for submission in submissions
        if isinstance(submission.personalizations, Personalizations)
        for delivery in expand(submission, submission.personalizations, repeat=repeat)
    ]


@given(st.lists(submissions, max_size=4), st.floats(T0 - 2000, T0 + 80 * 3600), st.booleans())
def test_each_delivery_is_queued_or_waits_or_is_dropped_and_has_one_event(batch: list[Submission], now: float, suspended: bool) -> None:
    load = load_of(*batch)
    plan = plan_of(load, Barred(frozenset({TENANT} if suspended else ()), {}), SITES, EGRESS, now)
    queued = [job.delivery_id for job in plan.jobs]
    waiting = [item.job.delivery_id for item in plan.waiting]
    dropped = [event.delivery_id for event in plan.events if isinstance(event, DroppedEvent)]
    assert sorted(queued + waiting + dropped) == sorted(each.delivery_id for each in load)
    assert [event.delivery_id for event in plan.events] == [each.delivery_id for each in load]
    assert {event.delivery_id for event in plan.events if isinstance(event, ProcessedEvent)} == {*queued, *waiting}


@given(st.lists(submissions, max_size=4), st.floats(T0 - 2000, T0 + 80 * 3600))
def test_nothing_goes_out_before_its_send_at(batch: list[Submission], now: float) -> None:
    plan = plan_of(load_of(*batch), NOBODY, SITES, EGRESS, now)
    assert all((job.origin.send_at or 0) <= now for job in plan.jobs)
    assert all(item.due_at == item.job.origin.send_at and item.due_at > now and item.why is WhyLater.SEND_AT for item in plan.waiting)


@given(st.lists(submissions, max_size=3))
def test_jobs_to_one_site_go_to_one_shard(batch: list[Submission]) -> None:
    for job in plan_of(load_of(*batch), NOBODY, SITES, EGRESS, T0 + 80 * 3600).jobs:
        assert job.site == SITES[job.rcpt.domain]
        assert job.shard == EGRESS.topology.shard("default", job.site)


def test_a_first_job_is_routed_now_and_a_repeat_not_later_than_it_can_have_been() -> None:
    submission = a_submission("ann@plain.test")
    [job] = plan_of(load_of(submission), NOBODY, SITES, EGRESS, T0 + 5).jobs
    [again] = plan_of(load_of(submission, repeat=True), NOBODY, SITES, EGRESS, T0 + 50).jobs
    assert (job.attempt, job.repeat, job.routed_at) == (1, False, T0 + 5)
    assert (again.attempt, again.repeat, again.routed_at) == (1, True, T0)


def test_the_processed_event_is_the_same_whenever_it_is_made() -> None:
    submission = a_submission("ann@plain.test")
    first = plan_of(load_of(submission), NOBODY, SITES, EGRESS, T0 + 5)
    again = plan_of(load_of(submission, repeat=True), NOBODY, SITES, EGRESS, T0 + 5000)
    assert first.events == again.events
    assert first.events[0].event_id == event_id("processed", 0, first.jobs[0].delivery_id)
    assert first.events[0].message_id == f"<{first.jobs[0].delivery_id}@example.com>"
