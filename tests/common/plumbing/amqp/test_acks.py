from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.plumbing.amqp.acks import Acks

_fates = st.lists(st.sampled_from(["ack", "requeue"]), min_size=1, max_size=60)


@given(_fates, st.randoms(use_true_random=False), st.floats(0, 1))
def test_every_finished_delivery_is_acknowledged_once_in_whatever_order_they_end(fates: list[str], random: Random, often: float) -> None:
    """The model of the broker refuses what RabbitMQ refuses: a tag that it does not hold."""
    acks = Acks()
    held = dict(enumerate(fates, 1))
    acknowledged: set[int] = set()

    def tell_broker() -> None:
        for tag, multiple in acks.take():
            assert tag in held, "unknown delivery tag: the broker would close the channel"
            covered = [each for each in held if each == tag or (multiple and each < tag)]
            assert all(each in finished for each in covered), "acknowledged before it was finished"
            for each in covered:
                del held[each]
                acknowledged.add(each)

    finished: set[int] = set()
    order = list(held)
    random.shuffle(order)
    for tag in order:
        if fates[tag - 1] == "requeue":
            acks.requeued(tag)
            del held[tag]
        else:
            finished.add(tag)
            acks.finish(tag)
        if random.random() < often:
            tell_broker()
    tell_broker()
    assert not held
    assert acknowledged == {tag for tag, fate in enumerate(fates, 1) if fate == "ack"}
    assert acks.take() == []


def test_a_contiguous_run_is_one_multiple_ack_and_the_rest_go_singly() -> None:
    acks = Acks()
    for tag in (2, 3, 1, 5, 7):
        acks.finish(tag)
    assert acks.take() == [(3, True), (5, False), (7, False)]
    acks.finish(4)
    assert acks.take() == [(4, False)]
    acks.finish(6)
    acks.finish(8)
    assert acks.take() == [(8, True)]


def test_only_the_first_finished_since_the_last_take_asks_for_one() -> None:
    acks = Acks()
    assert acks.finish(1)
    assert not acks.finish(2)
    acks.take()
    assert acks.finish(3)
