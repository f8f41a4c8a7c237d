from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.scheduler.making import OTHER, T0, TENANT, a_job

from scaisend_common.mail.events import DroppedEvent, Hop
from scaisend_common.mail.suppression import SUSPENDED, SuppressionKind, reason_of
from scaisend_common.messages import Job, LaterItem, WhyLater
from scaisend_deliverer.outcome import Dropped, Outcome, events_of
from scaisend_scheduler.barred import Barred
from scaisend_scheduler.later.dropping import LATE, PUT_OFF, UNTRIED, came_late, end_of_wait

NOW = T0 + 500
NOBODY = Barred(frozenset(), {})
whys = st.sampled_from(list(WhyLater))
kinds = st.frozensets(st.sampled_from(list(SuppressionKind)))
switches = st.lists(
    st.sampled_from(["bypass_list_management", "bypass_bounce_management", "bypass_spam_management", "bypass_unsubscribe_management"]),
    unique=True,
)


@given(whys, kinds, st.booleans(), switches, st.booleans(), st.booleans())
def test_a_job_is_stopped_exactly_if_a_first_send_would_be_and_dropped_if_it_is_surely_untried(
    why: WhyLater, found: frozenset[SuppressionKind], suspended: bool, asked: list[str], repeat: bool, leased_before: bool
) -> None:
    settings = json.dumps({"mail_settings": {name: {"enable": True} for name in asked}}).encode()
    plain = a_job("Ann@plain.test", attempt=3, repeat=repeat)
    job = replace(plain, head=replace(plain.head, settings=settings))
    barred = Barred(frozenset([TENANT] if suspended else []), {(TENANT, "ann@plain.test"): found})
    reason = SUSPENDED if suspended else reason_of(found, settings)
    match end_of_wait(job, why, barred, leased_before=leased_before, now=NOW):
        case DroppedEvent(reason=told):
            assert told == reason
            assert why in UNTRIED
        case Job() as sent_on:
            assert sent_on == replace(job, repeat=repeat or leased_before)
            assert reason is not None
            assert why in PUT_OFF
        case None:
            assert reason is None or why is WhyLater.CLAIMED


@given(st.sampled_from(UNTRIED), st.integers(1, 40))
def test_the_event_is_the_one_that_the_deliverer_would_make(why: WhyLater, attempt: int) -> None:
    job = a_job(attempt=attempt)
    event = end_of_wait(job, why, Barred(frozenset([TENANT]), {}), leased_before=False, now=NOW)
    assert [event] == events_of(job, Outcome(Dropped(SUSPENDED), NOW, Hop()))


@given(whys)
def test_what_stands_against_others_drops_nothing(why: WhyLater) -> None:
    others = Barred(frozenset([OTHER]), {(OTHER, "ann@plain.test"): frozenset(SuppressionKind)})
    for barred in (NOBODY, others):
        assert end_of_wait(a_job(), why, barred, leased_before=False, now=NOW) is None


@given(whys, st.floats(0, 3600))
def test_late_is_what_a_sweep_may_have_missed_and_does_not_come_due_at_once(why: WhyLater, after: float) -> None:
    item = LaterItem(NOW + 9999, why, a_job(routed_at=T0))
    assert came_late(item, T0 + after) == (after > LATE and why in UNTRIED)
