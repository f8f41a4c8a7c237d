"""The outbox, over the real broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic

import aio_pika
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.api.relay import relay
from tests.api.world import eventually

from scaisend_api.outbox import INTERVAL, RECIPIENTS, UNCONFIRMED, Outbox, fitting
from scaisend_common.mail.address import Address, Mailbox
from scaisend_common.mail.ids import SubmissionId
from scaisend_common.messages import Content, Personalizations, Stream, Submission, SubmissionBatch, decode_submissions, encode_part
from scaisend_common.plumbing.amqp import Publisher, Unavailable, Unroutable
from scaisend_common.runs import MESSAGE_BYTES

LANE = "bulk.3"
HURRIED = "transactional.3"


def encoded(n: int, subject: str = "a subject") -> bytes:
    return encode_part(
        Submission(
            submission_id=SubmissionId(f"{n:022}"),
            tenant_id="t",
            stream=Stream.BULK,
            accepted_at=0.0,
            api_key_id="k",
            sender=Mailbox(Address("sender", "example.com")),
            content=Content(()),
            personalizations=Personalizations(()),
            subject=subject,
        )
    )


@pytest.fixture
async def outbox(amqp_url: str) -> AsyncIterator[Outbox]:
    async with Publisher(amqp_url, name="test") as publisher:
        yield Outbox(publisher)


async def published(amqp_url: str, lane: str = LANE) -> list[SubmissionBatch]:
    """Take the messages of a lane."""
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        queue = await channel.get_queue(f"submit.{lane}")
        found = []
        while (message := await queue.get(fail=False)) is not None:
            found.append(decode_submissions(message.body))
            await message.ack()
        return found


async def test_one_alone_goes_alone(outbox: Outbox, amqp_url: str) -> None:
    await outbox.publish(LANE, encoded(1), 1)
    assert [[each.submission_id for each in batch.submissions] for batch in await published(amqp_url)] == [[f"{1:022}"]]


async def test_those_that_come_together_share_messages_and_none_is_lost_or_doubled(outbox: Outbox, amqp_url: str) -> None:
    await asyncio.gather(*(outbox.publish(LANE, encoded(n), 1) for n in range(100)))
    batches = await published(amqp_url)
    sizes = [len(batch.submissions) for batch in batches]
    assert sorted(each.submission_id for batch in batches for each in batch.submissions) == [f"{n:022}" for n in range(100)]
    assert max(sizes) == RECIPIENTS
    assert len(sizes) == -(-100 // RECIPIENTS)


async def test_a_message_stays_below_its_bound_unless_one_submission_does_not(outbox: Outbox, amqp_url: str) -> None:
    sizes = [100_000, 100_000, 300_000, 10, 10]
    await asyncio.gather(*(outbox.publish(LANE, encoded(n, "x" * size), 1) for n, size in enumerate(sizes)))
    batches = [[len(each.subject) for each in batch.submissions] for batch in await published(amqp_url)]
    assert sorted(size for batch in batches for size in batch) == sorted(sizes)
    assert all(len(batch) == 1 or sum(batch) < MESSAGE_BYTES for batch in batches)


async def test_each_shares_the_fate_of_its_own_lane(outbox: Outbox, amqp_url: str) -> None:
    lanes = [LANE, "nowhere.9"] * 10
    outcomes = await asyncio.gather(*(outbox.publish(lane, encoded(n), 1) for n, lane in enumerate(lanes)), return_exceptions=True)
    assert [type(each) for each in outcomes] == [type(None), Unroutable] * 10
    assert sum(len(batch.submissions) for batch in await published(amqp_url)) == 10


async def test_one_with_many_recipients_goes_alone(outbox: Outbox, amqp_url: str) -> None:
    await asyncio.gather(*(outbox.publish(LANE, encoded(n), recipients) for n, recipients in enumerate([1, 1, 1000, 1, 8, 9])))
    batches = [[int(each.submission_id) for each in batch.submissions] for batch in await published(amqp_url)]
    assert batches == [[0, 1], [2], [3, 4], [5]]


async def test_what_may_not_be_opened_goes_alone(outbox: Outbox, amqp_url: str) -> None:
    await asyncio.gather(*(outbox.publish(LANE, encoded(n), 1, alone=n == 1) for n in range(4)))
    batches = [[int(each.submission_id) for each in batch.submissions] for batch in await published(amqp_url)]
    assert batches == [[0], [1], [2, 3]]


@given(st.lists(st.floats(0, 2)))
def test_a_message_carries_as_many_as_weigh_no_more_than_one_or_a_single_one(weights: list[float]) -> None:
    count = fitting(weights)
    assert count <= 1 or sum(weights[:count]) <= 1
    assert count == len(weights) or (count > 0 and sum(weights[: count + 1]) > 1)


async def test_who_has_gone_before_his_turn_is_not_sent(outbox: Outbox, amqp_url: str) -> None:
    first, second = (outbox.publish(LANE, encoded(n), 1) for n in range(2))
    second.cancel()
    await first
    assert [int(each.submission_id) for batch in await published(amqp_url) for each in batch.submissions] == [0]


async def test_while_enough_are_unconfirmed_the_next_message_fills(outbox: Outbox, amqp_url: str) -> None:
    confirms = []
    for n in range(40):
        confirms.append(outbox.publish(LANE, encoded(n), 1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await asyncio.gather(*confirms)
    batches = [[int(each.submission_id) for each in batch.submissions] for batch in await published(amqp_url)]
    assert [number for batch in batches for number in batch] == list(range(40))
    assert len(batches) < 40


async def test_beside_transactional_mail_bulk_leaves_at_intervals(outbox: Outbox, amqp_url: str) -> None:
    confirms, begun = [outbox.publish(HURRIED, encoded(0), 1)], monotonic()
    while monotonic() - begun < 20 * INTERVAL:
        confirms += [outbox.publish(LANE, encoded(len(confirms) + n), 1, is_bulk=True) for n in range(4)]
        await asyncio.sleep(INTERVAL / 8)
    spent = monotonic() - begun
    await asyncio.gather(*confirms)
    batches = [[int(each.submission_id) for each in batch.submissions] for batch in await published(amqp_url)]
    assert [number for batch in batches for number in batch] == list(range(1, len(confirms)))
    assert len(batches[0]) == 4  # nobody was before them
    assert sum(len(batch) < RECIPIENTS for batch in batches) <= spent / INTERVAL + 2


async def test_beside_transactional_mail_full_messages_of_bulk_wait_as_well_and_then_leave_together(amqp_url: str) -> None:
    async with Publisher(amqp_url, name="test") as publisher:
        outbox = Outbox(publisher, interval=1)
        hurried = outbox.publish(HURRIED, encoded(0), 1)
        bulk = [outbox.publish(LANE, encoded(1), 1000, is_bulk=True)]
        await bulk[0]
        bulk += [outbox.publish(LANE, encoded(n), 1000, is_bulk=True) for n in range(2, 5)]
        await _rounds()
        assert repr(outbox).endswith("3 submissions waiting>")
        await bulk[1]
        assert repr(outbox).endswith("0 submissions waiting>")
        await asyncio.gather(hurried, *bulk)
    assert len(await published(amqp_url)) == 4


@pytest.mark.parametrize(("lane", "is_bulk"), [(HURRIED, False), (LANE, True)])
async def test_transactional_mail_waits_for_no_interval_and_without_it_bulk_neither(
    outbox: Outbox, amqp_url: str, lane: str, is_bulk: bool
) -> None:
    confirms = [outbox.publish(lane, encoded(0), 1, is_bulk=is_bulk)]
    await _rounds()
    confirms.append(outbox.publish(lane, encoded(1), 1, is_bulk=is_bulk))
    await _rounds()
    assert repr(outbox) == "<Outbox of 1 lanes, ready, 2 messages unconfirmed, 0 submissions waiting>"
    await asyncio.gather(*confirms)
    arrived = [each.submission_id for batch in await published(amqp_url, lane) for each in batch.submissions]
    assert {f"{0:022}", f"{1:022}"} <= set(arrived)  # other tests leave mail in a lane as well


async def _rounds() -> None:
    """Let the loop come to what is due at the end of this round."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_what_fills_a_message_waits_for_nothing(outbox: Outbox, amqp_url: str) -> None:
    large = [outbox.publish(LANE, encoded(n), 1000) for n in range(2 * UNCONFIRMED)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert repr(outbox) == f"<Outbox of 1 lanes, ready, {2 * UNCONFIRMED} messages unconfirmed, 0 submissions waiting>"
    await asyncio.gather(*large)
    assert len(await published(amqp_url)) == 2 * UNCONFIRMED


async def test_with_a_silent_broker_nobody_waits_for_two_time_outs_and_then_all_goes_on(amqp_url: str) -> None:
    async with relay(amqp_url) as broker, Publisher(broker.url, name="test") as publisher:
        outbox = Outbox(publisher)
        await outbox.publish(LANE, encoded(0), 1)
        broker.freeze()
        begun = monotonic()
        full = 10 * RECIPIENTS  # fill ten messages; the rest waits
        outcomes = await asyncio.gather(*(outbox.publish(LANE, encoded(n), 1) for n in range(1, full + 6)), return_exceptions=True)
        assert {type(each) for each in outcomes} == {Unavailable}
        assert monotonic() - begun < 5
        await broker.cut()
        await broker.mend()
        await eventually(lambda: publisher.is_ready)
        await outbox.publish(LANE, encoded(9999), 1)
        arrived = [int(each.submission_id) for batch in await published(amqp_url) for each in batch.submissions]
        assert {0, 9999} <= set(arrived) <= {0, 9999, *range(1, full + 1)}  # what waited was not sent
