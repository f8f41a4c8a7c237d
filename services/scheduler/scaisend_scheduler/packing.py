"""Packing: jobs, waiting items and events into the messages that carry them. Pure.

Each is encoded once and its bytes are joined, so a message's size is known and not guessed. A message of jobs stays below
100 KB, unless a single one is longer: a deliverer has room for those it holds, and one slow job holds back few others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from scaisend_common.mail.events import Event
from scaisend_common.messages import Job, LaterItem, encode, encode_part
from scaisend_common.runs import runs_of
from scaisend_common.topology import DELIVER, EVENTS, LATER, LATER_QUEUE, Topology, deliver_key

JOBS_A_MESSAGE = 25
JOB_MESSAGE_BYTES = 96 * 1024  # a deliverer holds hundreds of them
ITEMS_A_MESSAGE = 100
EVENTS_A_MESSAGE = 500
EVENT_MESSAGE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to be published; `jobs` are those that it carries."""

    exchange: str
    key: str
    body: bytes
    jobs: Sequence[Job] = ()


# The wire forms of JobBatch, LaterBatch and EventBatch, over parts that are encoded already.
class _Jobs(msgspec.Struct, frozen=True):
    jobs: list[msgspec.Raw]


class _Items(msgspec.Struct, frozen=True):
    items: list[msgspec.Raw]


class _Events(msgspec.Struct, frozen=True):
    events: list[msgspec.Raw]


def pack_jobs(jobs: Iterable[Job]) -> Iterator[Outgoing]:
    """Yield messages of jobs; those of one path and stream share them."""
    by_path: dict[tuple[str, str, str], list[Job]] = defaultdict(list)
    for job in jobs:
        by_path[deliver_key(job.group, job.shard, job.stream), job.source, job.site].append(job)
    for (key, _, _), together in by_path.items():
        packed = 0
        for part in runs_of(map(encode_part, together), JOBS_A_MESSAGE, JOB_MESSAGE_BYTES):
            yield Outgoing(DELIVER, key, encode(_Jobs(part)), together[packed : packed + len(part)])
            packed += len(part)


def pack_items(items: Iterable[LaterItem]) -> Iterator[Outgoing]:
    """Yield messages for the waiting room."""
    for part in runs_of(map(encode_part, items), ITEMS_A_MESSAGE):
        yield Outgoing(LATER, LATER_QUEUE, encode(_Items(part)))


def pack_events(events: Iterable[Event], topology: Topology) -> Iterator[Outgoing]:
    """Yield messages of events, each of one lane."""
    tenants: dict[str, list[bytes]] = defaultdict(list)
    for event in events:
        tenants[event.tenant_id].append(encode_part(event))
    lanes: dict[str, list[bytes]] = defaultdict(list)
    for tenant_id, encoded in tenants.items():
        lanes[topology.event_key(tenant_id)] += encoded
    for lane, encoded in lanes.items():
        for part in runs_of(encoded, EVENTS_A_MESSAGE, EVENT_MESSAGE_BYTES):
            yield Outgoing(EVENTS, lane, encode(_Events(part)))
