"""What is published, and that it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.deliverer.making import NOW, a_job, tenant

from scaisend_common.mail.events import Hop
from scaisend_common.mail.reply import Reply
from scaisend_common.mail.verdict import Deferred
from scaisend_common.messages import decode_events, decode_jobs, decode_later
from scaisend_common.runs import MESSAGE_BYTES
from scaisend_common.topology import DELIVER, EVENTS, LATER, LATER_QUEUE, PARKED, Topology
from scaisend_deliverer.letter import Letter, pack
from scaisend_deliverer.outcome import Outcome, events_of, later_of

TOPOLOGY = Topology(event_lanes=3)
OUTCOME = Outcome(Deferred("busy", Reply(451, "4.3.0", "x" * 500)), NOW, Hop(), NOW + 60)


def letter(number: int, tenant_number: int) -> Letter:
    job = a_job(number, now=NOW, tenant_id=tenant(tenant_number))
    return Letter(events_of(job, OUTCOME), later_of(job, OUTCOME))


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 5)), max_size=40))
def test_every_event_travels_once_in_its_lane_and_every_job_once(senders: list[tuple[int, int]]) -> None:
    letters = [letter(*each) for each in senders]
    messages = pack(letters, TOPOLOGY)
    events = [(message.key, event) for message in messages if message.exchange == EVENTS for event in decode_events(message.body).events]
    assert sorted(event.event_id for _, event in events) == sorted(event.event_id for each in letters for event in each.events)
    assert all(lane == TOPOLOGY.event_key(event.tenant_id) for lane, event in events)
    later = [item for message in messages if message.exchange == LATER for item in decode_later(message.body).items]
    assert [item.job.delivery_id for item in later] == [each.later.job.delivery_id for each in letters if each.later]


def test_messages_stay_below_their_bound() -> None:
    messages = pack([letter(number, 0) for number in range(800)], TOPOLOGY)
    assert all(len(message.body) < MESSAGE_BYTES + 2000 for message in messages)
    assert len(messages) > 4


def test_a_job_for_another_shard_goes_there_and_a_parked_one_to_its_parking_queue() -> None:
    job = a_job(now=NOW, shard=3)
    moved, parked = pack([Letter(elsewhere=job), Letter(parked=(job, "deliver.default.3.bulk", "no blob"))], TOPOLOGY)
    assert (moved.exchange, moved.key) == (DELIVER, "default.3.transactional")
    assert (parked.exchange, parked.key, parked.parked_why) == (PARKED, "deliver.default.3.bulk", "no blob")
    assert decode_jobs(moved.body).jobs == decode_jobs(parked.body).jobs == (job,)
    assert LATER_QUEUE not in (moved.key, parked.key)
