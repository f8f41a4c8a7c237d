from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from tests.scheduler.making import (
    T0,
    an_id,
    attempts,
    bounce,
    deferred,
    delivered,
    deliveries,
    dropped,
    events,
    processed,
    spamreport,
    unknown,
)

from scaisend_common.mail.events import Event
from scaisend_common.mail.ids import delivery_id, made_at
from scaisend_common.mail.verdict import BounceKind
from scaisend_scheduler.record.folding import Statistic, fold, state_of, suppression_of

many = st.lists(events, max_size=25, unique_by=lambda event: event.event_id)


@given(many, st.integers(0, 2**32))
def test_the_order_of_events_does_not_matter_to_state_and_counts(given_events: list[Event], seed: int) -> None:
    shuffled = random.Random(seed).sample(given_events, len(given_events))
    assert [(c.delivery_id, c.state, c.last_event_at) for c in fold(given_events).messages] == [
        (c.delivery_id, c.state, c.last_event_at) for c in fold(shuffled).messages
    ]
    assert fold(given_events).counts == fold(shuffled).counts


@given(many)
def test_each_delivery_is_changed_once_to_the_furthest_of_its_states(given_events: list[Event]) -> None:
    changes = fold(given_events).messages
    assert len({c.delivery_id for c in changes}) == len(changes)
    for change in changes:
        states = [state_of(event) for event in given_events if event.delivery_id == change.delivery_id]
        assert change.state in states
        assert all(state.place <= change.state.place for state in states)


@given(many)
def test_every_event_is_counted_once(given_events: list[Event]) -> None:
    assert sum(sum(count.of.values()) for count in fold(given_events).counts) == len(given_events)


@given(many, many)
def test_a_closed_state_never_opens_again(before: list[Event], after: list[Event]) -> None:
    earlier = {c.delivery_id: c.state for c in fold(before).messages}
    for change in fold([*before, *after]).messages:
        if change.delivery_id in earlier and earlier[change.delivery_id].rank >= 10:
            assert change.state.rank >= 10


def test_a_mail_goes_from_processed_over_deferred_to_delivered() -> None:
    delivery = delivery_id(an_id(), 0, 0)
    story: list[Event] = [processed(delivery), deferred(delivery, 1), deferred(delivery, 2), delivered(delivery, 3)]
    states = [fold(story[: n + 1]).messages[0].state.name for n in range(len(story))]
    assert states == ["processed", "deferred", "deferred", "delivered"]


def test_a_retry_that_is_deferred_again_is_further_than_the_doubt_before_it() -> None:
    delivery = delivery_id(an_id(), 0, 0)
    assert fold([unknown(delivery, 1), deferred(delivery, 2)]).messages[0].state == ("deferred", 2, 1)


def test_a_bounce_that_comes_back_later_closes_a_delivered_mail_as_bounced() -> None:
    delivery = delivery_id(an_id(), 0, 0)
    assert fold([bounce(delivery, asynchronous=True), delivered(delivery, 2)]).messages[0].state.name == "bounced"


def test_who_complains_has_got_the_mail() -> None:
    delivery = delivery_id(an_id(), 0, 0)
    assert fold([processed(delivery), spamreport(delivery)]).messages[0].state.name == "delivered"


def test_processed_and_delivered_of_one_mail_are_one_change() -> None:
    delivery = delivery_id(an_id(), 0, 0)
    [change] = fold([processed(delivery), delivered(delivery)]).messages
    assert (change.state.name, change.last_event_at) == ("delivered", T0 + 1)
    assert change.day == made_at(an_id()).date()


def test_bounces_and_blocks_are_counted_apart() -> None:
    first, second = delivery_id(an_id(), 0, 0), delivery_id(an_id(), 0, 0)
    [count] = fold([bounce(first), bounce(second, kind=BounceKind.BLOCKED, status="5.7.1"), dropped(first)]).counts
    assert count.of == {Statistic.BOUNCES: 1, Statistic.BLOCKS: 1, Statistic.DROPS: 1}


def test_only_who_is_gone_or_complained_is_suppressed() -> None:
    delivery = delivery_id(an_id(), 0, 0)
    gone = suppression_of(bounce(delivery))
    assert gone is not None
    assert (gone.address, gone.kind, gone.reason, gone.status) == ("ann@plain.test", "bounce", "550 5.1.1 no such user", "5.1.1")
    assert suppression_of(bounce(delivery, status="5.2.2", kind=BounceKind.BLOCKED)) is None
    complained = suppression_of(spamreport(delivery))
    assert complained is not None
    assert complained.kind == "spamreport"
    assert [e for e in (processed(delivery), deferred(delivery), delivered(delivery), unknown(delivery)) if suppression_of(e)] == []


@given(many)
def test_changes_come_in_the_order_of_their_keys(given_events: list[Event]) -> None:
    changes = fold(given_events)
    assert [(c.tenant_id, c.delivery_id) for c in changes.messages] == sorted((c.tenant_id, c.delivery_id) for c in changes.messages)
    assert [(c.tenant_id, c.day) for c in changes.counts] == sorted((c.tenant_id, c.day) for c in changes.counts)
    keys = [(s.tenant_id, s.address, s.kind) for s in changes.suppressions]
    assert keys == sorted(set(keys))


@given(st.builds(delivered, deliveries, attempts))
def test_a_change_carries_what_lists_show(event: Event) -> None:
    [change] = fold([event]).messages
    assert (change.to_email, change.message_id, change.origin) == (event.email, event.message_id, event.origin)
    assert change.accepted_at == T0
