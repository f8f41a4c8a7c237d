from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st
from tests.scheduler.making import OTHER, TENANT, a_job, events, processed

from scaisend_common.mail.events import Event
from scaisend_common.messages import Content, Job, LaterItem, Part, Stream, WhyLater, decode_events, decode_jobs, decode_later
from scaisend_common.topology import DELIVER, EVENTS, LATER, LATER_QUEUE, Topology, deliver_key
from scaisend_scheduler.packing import EVENTS_A_MESSAGE, JOB_MESSAGE_BYTES, JOBS_A_MESSAGE, pack_events, pack_items, pack_jobs

sizes = st.sampled_from([10, 4_000, 30_000, 120_000])
jobs = st.builds(
    lambda site, shard, stream, size: a_job(site=site, shard=shard, stream=stream, content=Content((Part("text/plain", "x" * size),))),
    st.sampled_from(["a.test", "b.test"]),
    st.integers(0, 2),
    st.sampled_from(list(Stream)),
    sizes,
)


@given(st.lists(jobs, max_size=80))
def test_every_job_travels_once_with_jobs_of_its_own_path_and_stream_in_order(given_jobs: list[Job]) -> None:
    arrived: dict[tuple[str, str], list[Job]] = defaultdict(list)
    for message in pack_jobs(given_jobs):
        batch = decode_jobs(message.body).jobs
        [(key, site)] = {(deliver_key(job.group, job.shard, job.stream), job.site) for job in batch}
        assert (message.exchange, message.key) == (DELIVER, key)
        assert len(batch) <= JOBS_A_MESSAGE
        assert len(batch) == 1 or len(message.body) <= JOB_MESSAGE_BYTES + 100
        arrived[key, site] += batch
    expected: dict[tuple[str, str], list[Job]] = defaultdict(list)
    for job in given_jobs:
        expected[deliver_key(job.group, job.shard, job.stream), job.site].append(job)
    assert arrived == expected


@given(st.lists(jobs, max_size=40), st.sampled_from(list(WhyLater)))
def test_every_waiting_item_travels_once(given_jobs: list[Job], why: WhyLater) -> None:
    items = [LaterItem(float(n), why, job) for n, job in enumerate(given_jobs)]
    messages = list(pack_items(items))
    assert {(message.exchange, message.key) for message in messages} <= {(LATER, LATER_QUEUE)}
    assert [item for message in messages for item in decode_later(message.body).items] == items


@given(st.lists(events, max_size=30), st.integers(1, 4))
def test_every_event_travels_once_in_its_tenants_lane(given_events: list[Event], lanes: int) -> None:
    topology = Topology(event_lanes=lanes)
    arrived: list[Event] = []
    for message in pack_events(given_events, topology):
        batch = decode_events(message.body).events
        assert message.exchange == EVENTS
        assert {topology.event_key(event.tenant_id) for event in batch} == {message.key}
        arrived += batch
    assert sorted(arrived, key=repr) == sorted(given_events, key=repr)


def test_a_lane_gets_one_message_for_a_load_of_ordinary_events() -> None:
    load = [processed(a_job().delivery_id, tenant_id=tenant) for tenant in (TENANT, OTHER) for _ in range(125)]
    assert len(list(pack_events(load, Topology(event_lanes=1)))) == 1
    assert len(load) <= EVENTS_A_MESSAGE
