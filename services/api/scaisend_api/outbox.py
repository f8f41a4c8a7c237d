"""The outbox: submissions on their way to the broker. Those of one lane that come at about the same time share a message.

A message costs the broker, the router and us more than a submission in it. What comes in one round of the event loop goes together; and
while several messages of a lane are unconfirmed, what comes waits until a message is full, or for the first of their confirms. Bulk gives
way: while there is transactional mail, it leaves at intervals.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from scaisend_common.messages import encode
from scaisend_common.plumbing.amqp import Publisher, Unavailable
from scaisend_common.plumbing.failpoints import fail_here
from scaisend_common.runs import MESSAGE_BYTES
from scaisend_common.topology import SUBMIT

RECIPIENTS = 16  # of a message, unless a single submission has more: who routes it has work for a few milliseconds
UNCONFIRMED = 6  # messages of a lane on their way, from which on the next one waits until it is full
INTERVAL = 0.01  # longer than most confirms take, so that messages fill; shorter than anybody who sends bulk would feel
HEEDED = 2.0  # seconds after transactional mail for which more of it is expected


# The wire form of SubmissionBatch, over parts that are encoded already.
class _Submissions(msgspec.Struct, frozen=True):
    submissions: list[msgspec.Raw]


class _Waiting(NamedTuple):
    encoded: bytes
    weight: float  # its part of a message
    confirmed: asyncio.Future[None]


class Outbox:
    """Publishes submissions; a lane is a routing key of `mail.submit`, and what befalls one lane befalls no other.

    `interval`: seconds from one time that bulk is sent to the next, while it gives way.
    """

    def __init__(self, publisher: Publisher, *, interval: float = INTERVAL) -> None:
        self._publisher = publisher
        self._interval = interval
        self._lanes: dict[str, _Lane] = {}
        self._clock = asyncio.get_running_loop().time
        self._hurried_at = float("-inf")  # when transactional mail came last

    @property
    def is_ready(self) -> bool:
        """The broker takes messages."""
        return self._publisher.is_ready

    def publish(self, lane: str, encoded: bytes, recipients: int, *, alone: bool = False, is_bulk: bool = False) -> asyncio.Future[None]:
        """Return the future of the broker's confirm of the message with this submission. At that instant the mail is ours.

        `alone`: it shares no message, as it may turn out that it cannot be opened. `is_bulk`: it gives way to what is not.
        It raises Unavailable (the submission may have arrived), Refused, Unroutable. Cancelled while it waits, it is not sent.
        """
        if not is_bulk:
            self._hurried_at = self._clock()
        found = self._lanes.get(lane)
        if found is None:
            found = self._lanes[lane] = _Lane(self._publisher, lane, self._interval)
        weight = 1.0 if alone else max(len(encoded) / MESSAGE_BYTES, recipients / RECIPIENTS)
        return found.add(encoded, weight, gives_way=is_bulk and self.is_hurried)

    @property
    def is_hurried(self) -> bool:
        """There is transactional mail, or was a moment ago."""
        return self._clock() - self._hurried_at < HEEDED

    def __repr__(self) -> str:
        unconfirmed = sum(lane.load[0] for lane in self._lanes.values())
        waiting = sum(lane.load[1] for lane in self._lanes.values())
        state = "ready" if self.is_ready else "not ready"
        return f"<Outbox of {len(self._lanes)} lanes, {state}, {unconfirmed} messages unconfirmed, {waiting} submissions waiting>"


class _Lane:
    """What waits in one lane, and how many of its messages are unconfirmed."""

    def __init__(self, publisher: Publisher, key: str, interval: float) -> None:
        self._publisher = publisher
        self._key = key
        self._interval = interval
        self._waiting: deque[_Waiting] = deque()
        self._unconfirmed = 0
        self._is_due = False
        self._gives_way = False
        self._sent_at = float("-inf")  # while it gave way
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def load(self) -> tuple[int, int]:
        """Messages that are unconfirmed, submissions that wait."""
        return self._unconfirmed, len(self._waiting)

    def add(self, encoded: bytes, weight: float, *, gives_way: bool) -> asyncio.Future[None]:
        confirmed: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(_Waiting(encoded, weight, confirmed))
        self._gives_way = gives_way
        if not self._is_due and self._timer is None:
            self._is_due = True
            self._loop.call_soon(self._send)
        return confirmed

    def _send(self) -> None:
        """Send what waits, but for a message that is not full while enough are unconfirmed. Who waits no more is left out."""
        self._is_due = False
        self._timer = None
        if self._gives_way and self._waiting:
            now, at = self._loop.time(), self._sent_at + self._interval
            if now < at:
                self._timer = self._loop.call_at(at, self._send)
                return
            self._sent_at = now
        while count := fitting(each.weight for each in self._waiting):
            is_full = count < len(self._waiting) or sum(each.weight for each in self._waiting) >= 1
            if not is_full and self._unconfirmed >= UNCONFIRMED:
                return
            taken = [self._waiting.popleft() for _ in range(count)]
            if batch := [each for each in taken if not each.confirmed.done()]:
                self._publish(batch)

    def _publish(self, batch: list[_Waiting]) -> None:
        try:
            confirm = self._publisher.publish_nowait(SUBMIT, self._key, encode(_Submissions([msgspec.Raw(each.encoded) for each in batch])))
            fail_here("api.accept.after_publish_before_confirm")
        except Exception as failure:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            _settle(batch, failure)
            return
        self._unconfirmed += 1
        confirm.add_done_callback(partial(self._on_answer, batch))

    def _on_answer(self, batch: list[_Waiting], confirm: asyncio.Future[None]) -> None:
        """Each shares the fate of its message. Where the broker fails to confirm, who waits fails as well, unsent."""
        self._unconfirmed -= 1
        failure = confirm.exception()
        _settle(batch, failure)
        if isinstance(failure, Unavailable):
            _settle(self._waiting, failure)
            self._waiting.clear()
        if self._timer is None and not self._is_due:
            self._send()


def fitting(weights: Iterable[float]) -> int:
    """Return how many of those first in line one message carries: a single one, or as many as weigh no more than 1. Pure."""
    count, total = 0, 0.0
    for weight in weights:
        total += weight
        if count and total > 1:
            break
        count += 1
    return count


def _settle(waiting: Sequence[_Waiting], failure: BaseException | None) -> None:
    for each in waiting:
        if each.confirmed.done():  # nobody waits for it any more
            continue
        if failure is None:
            each.confirmed.set_result(None)
        else:
            each.confirmed.set_exception(failure)
