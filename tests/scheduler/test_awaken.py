from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.scheduler.making import T0, a_job

from scaisend_common.messages import LaterBatch, LaterItem, WhyLater
from scaisend_common.plumbing.amqp import Incoming
from scaisend_scheduler.later.awaken import awakened
from scaisend_scheduler.later.waiting import items_of
from scaisend_scheduler.routing import Route

ROUTE = Route("default", "second", "google", 3)
NOW = T0 + 4000
whys = st.sampled_from(list(WhyLater))


@given(whys, st.booleans(), st.booleans())
def test_a_job_is_a_repeat_if_it_was_one_or_if_a_lease_of_it_ran_out(why: WhyLater, was: bool, leased_before: bool) -> None:
    job = awakened(a_job(repeat=was), why, leased_before=leased_before, route=ROUTE, now=NOW)
    assert job.repeat == (was or leased_before)


@given(whys, st.booleans(), st.booleans())
def test_only_an_attempt_that_nobody_tried_is_routed_afresh(why: WhyLater, was: bool, leased_before: bool) -> None:
    job = awakened(a_job(repeat=was), why, leased_before=leased_before, route=ROUTE, now=NOW)
    afresh = why in (WhyLater.RETRY, WhyLater.SEND_AT) and not job.repeat
    assert job.routed_at == (NOW if afresh else T0)


@given(whys)
def test_nothing_but_its_route_and_whether_it_is_a_repeat_changes(why: WhyLater) -> None:
    before = a_job(attempt=3, unknowns=1)
    after = awakened(before, why, leased_before=False, route=ROUTE, now=NOW)
    assert (after.group, after.source, after.site, after.shard) == ("default", "second", "google", 3)
    assert (after.delivery_id, after.attempt, after.unknowns, after.expires_at, after.head, after.content) == (
        before.delivery_id,
        3,
        1,
        before.expires_at,
        before.head,
        before.content,
    )


def test_items_of_a_message_that_came_before_are_repeats() -> None:
    batch = LaterBatch((LaterItem(NOW, WhyLater.RETRY, a_job()),))
    assert [item.job.repeat for item in items_of(Incoming(batch, "later", redelivered=False, failures=0))] == [False]
    assert [item.job.repeat for item in items_of(Incoming(batch, "later", redelivered=True, failures=0))] == [True]
