"""The outbox: what attempts leave behind, published in batches and confirmed; nothing is given up while the process lives.

Events of one lane share a message, and so do jobs that wait. What the broker does not take is tried again, with the same ids.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec
from prometheus_client import Counter
from structlog import get_logger

from scaisend_common.mail.events import Event
from scaisend_common.messages import Job, JobBatch, LaterItem, encode
from scaisend_common.plumbing.amqp import Publisher, Refused, Unavailable, Unroutable
from scaisend_common.topology import DELIVER, EVENTS, LATER, LATER_QUEUE, PARKED, Topology, deliver_key
from scaisend_deliverer.batches import Batches

log = get_logger()

LINGER = 0.02  # seconds; under load a message then carries some dozens of events, and nobody sees it late
MOST = 1000  # letters a batch
MESSAGE_BYTES = 96 * 1024  # one frame of the broker's default frame_max
PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)  # seconds between tries
FAILED = Counter("scaisend_publish_retries", "Messages that the broker did not take at once")

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
    """Return the messages that carry these letters."""
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
    messages += [Message(EVENTS, lane, encode(_Events(run))) for lane, encoded in lanes.items() for run in _runs(encoded)]
    messages += [Message(LATER, LATER_QUEUE, encode(_Items(run))) for run in _runs(items)]
    return messages


class Outbox:
    """`add` returns a future that is done when the broker has confirmed the letter."""

    def __init__(self, publisher: Publisher, topology: Topology) -> None:
        self._publisher = publisher
        self._topology = topology
        self._letters: Batches[Letter, None] = Batches(self._send, most=MOST, linger=LINGER, lanes=4)

    def add(self, letter: Letter) -> asyncio.Future[None]:
        """At the confirm of a letter the attempt has happened for everybody else. A crash before repeats it from the ledger."""
        return self._letters.add(letter)

    async def _send(self, letters: list[Letter]) -> list[None]:
        messages = pack(letters, self._topology)
        tries = 0
        while messages := await self._not_taken(messages):
            FAILED.inc(len(messages))
            await asyncio.sleep(PAUSES[min(tries, len(PAUSES) - 1)])
            tries += 1
        return [None] * len(letters)

    async def _not_taken(self, messages: list[Message]) -> list[Message]:
        """Publish them at once and return those that the broker did not confirm."""
        confirms: list[asyncio.Future[None]] = []
        try:
            confirms.extend(self._publisher.publish_nowait(each.exchange, each.key, each.body, headers=each.headers) for each in messages)
        except Unavailable as away:
            log.warning("publishing_waits", why=str(away), messages=len(messages))
        failed = messages[len(confirms) :]
        for message, answer in zip(messages, await asyncio.gather(*confirms, return_exceptions=True), strict=False):
            match answer:
                case Unavailable() | Refused() | Unroutable():
                    log.warning("publishing_failed", exchange=message.exchange, key=message.key, why=str(answer))
                    failed.append(message)
                case BaseException():
                    raise answer
        return failed


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
