"""Letters: what one job leaves behind for others; and the messages that carry many of them. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from scaisend_common.mail.events import Event
from scaisend_common.messages import Job, JobBatch, LaterItem, encode
from scaisend_common.topology import DELIVER, EVENTS, LATER, LATER_QUEUE, PARKED, Topology, deliver_key

MESSAGE_BYTES = 96 * 1024  # one frame of the broker's default frame_max

_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Letter:
    """All that one job leaves behind: events, a job for later, or itself for another shard or for the parking queue of `queue`."""

    events: Sequence[Event] = ()
    later: LaterItem | None = None
    elsewhere: Job | None = None
    parked: tuple[Job, str, str] | None = None  # job, queue, why


@dataclass(frozen=True, slots=True)
class Message:
    """One message for the broker."""

    exchange: str
    key: str
    body: bytes
    headers: dict[str, str] | None = None


# The wire forms of EventBatch and LaterBatch, over parts that are encoded already.
class _Events(msgspec.Struct, frozen=True):
    events: list[msgspec.Raw]


class _Items(msgspec.Struct, frozen=True):
    items: list[msgspec.Raw]


def pack(letters: Iterable[Letter], topology: Topology) -> list[Message]:
    """Return the messages that carry these letters; the events last: what the timeline tells of an attempt has then been followed up."""
    lanes: dict[str, list[bytes]] = defaultdict(list)
    items: list[bytes] = []
    messages: list[Message] = []
    for letter in letters:
        for event in letter.events:
            lanes[topology.event_key(event.tenant_id)].append(_encode(event))
        if letter.later is not None:
            items.append(_encode(letter.later))
        if (job := letter.elsewhere) is not None:
            messages.append(Message(DELIVER, deliver_key(job.group, job.shard, job.stream), encode(JobBatch((job,)))))
        if letter.parked is not None:
            job, queue, why = letter.parked
            messages.append(Message(PARKED, queue, encode(JobBatch((job,))), {"x-parked-why": why}))
    messages += [Message(LATER, LATER_QUEUE, encode(_Items(run))) for run in _runs(items)]
    messages += [Message(EVENTS, lane, encode(_Events(run))) for lane, encoded in lanes.items() for run in _runs(encoded)]
    return messages


def _runs(encoded: list[bytes]) -> Iterator[list[msgspec.Raw]]:
    """Cut into runs of about MESSAGE_BYTES."""
    run: list[msgspec.Raw] = []
    size = 0
    for each in encoded:
        if run and size + len(each) > MESSAGE_BYTES:
            yield run
            run, size = [], 0
        run.append(msgspec.Raw(each))
        size += len(each)
    if run:
        yield run
