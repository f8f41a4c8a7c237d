"""Letters: what one job leaves behind for others; and the messages that carry many of them. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from scaisend_common.mail.events import Event
from scaisend_common.messages import Job, JobBatch, LaterItem, encode, encode_part
from scaisend_common.runs import runs_of
from scaisend_common.topology import DELIVER, EVENTS, LATER, LATER_QUEUE, PARKED, Topology, deliver_key

MOST = 500  # events or items a message: who reads them holds his loop for a few milliseconds


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
    parked_why: str = ""


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
            lanes[topology.event_key(event.tenant_id)].append(encode_part(event))
        if letter.later is not None:
            items.append(encode_part(letter.later))
        if (job := letter.elsewhere) is not None:
            messages.append(Message(DELIVER, deliver_key(job.group, job.shard, job.stream), encode(JobBatch((job,)))))
        if letter.parked is not None:
            job, queue, why = letter.parked
            messages.append(Message(PARKED, queue, encode(JobBatch((job,))), why))
    messages += [Message(LATER, LATER_QUEUE, encode(_Items(run))) for run in runs_of(items, MOST)]
    messages += [Message(EVENTS, lane, encode(_Events(run))) for lane, encoded in lanes.items() for run in runs_of(encoded, MOST)]
    return messages
