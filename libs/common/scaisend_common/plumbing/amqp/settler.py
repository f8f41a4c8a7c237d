"""What becomes of a delivery when its handler has spoken, or failed."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import assert_never

import structlog

from scaisend_common.plumbing.amqp.delivery import Delivery
from scaisend_common.plumbing.amqp.link import delay_after
from scaisend_common.plumbing.amqp.parking import Parking
from scaisend_common.plumbing.amqp.pause import Pause
from scaisend_common.plumbing.amqp.settlement import Ack, Park, Refused, Retry, Settlement, Unavailable, Unroutable

Outages = tuple[type[BaseException], ...]
OUTAGES: Outages = (Unavailable, Refused, OSError, TimeoutError)
KEEP = timedelta(minutes=10)
NEWER_FIRST, NEWER_LONGEST = 30.0, 600.0  # seconds until a queue with a newer version in it is tried again

log = structlog.get_logger()


class Settler:
    """Settles on behalf of one consumer: `keep` takes a delivery back that is to be handled again after the pause.

    A message that has to wait is kept here, unsettled, and only given back to the broker when it has been here for `keep_for`: each
    return raises the broker's delivery count, and at the limit (50) an outage of minutes would park what nobody could handle. The broker
    closes a channel on which a delivery stays unsettled for 30 minutes, which `keep_for` and the longest handler must stay under.
    """

    def __init__(
        self,
        parking: Parking,
        *,
        name: str,
        outages: Outages,
        keep_for: timedelta,
        keep: Callable[[Delivery], None],
        resume: Callable[[], None],
        suspend: Callable[[float, Delivery], None],
    ) -> None:
        self.pause = Pause(resume)
        self._parking = parking
        self._name = name
        self._outages = outages
        self._keep_for = keep_for.total_seconds()
        self._keep = keep
        self._suspend = suspend
        self._newer: dict[str, int] = defaultdict(int)
        self._parks: dict[str, set[asyncio.Task[None]]] = defaultdict(set)

    def settle(self, delivery: Delivery, settlement: Settlement) -> None:
        """Do what the handler said."""
        match settlement:
            case Ack():
                delivery.ack()
                self.pause.worked()
            case Retry(after=after):
                self._retry(delivery, after.total_seconds())
            case Park(why=why):
                self.park(delivery, why)
            case _:
                assert_never(settlement)

    def is_outage(self, error: BaseException) -> bool:
        """The message is not to blame."""
        return isinstance(error, self._outages)

    def outage(self, delivery: Delivery, error: BaseException) -> None:
        """Something that the handler needs is out: keep the message and pause."""
        seconds = self.pause.outage()
        if seconds is not None:
            log.warning("consumer_paused", consumer=self._name, queue=delivery.queue, error=repr(error), seconds=seconds)
        self.again(delivery)

    def broken(self, delivery: Delivery, error: BaseException) -> None:
        """Decoding or handling raised something else: park it, or leave it to a newer release."""
        if getattr(error, "pauses_queue", False):
            self._leave_to_newer(delivery, error)
            return
        log.error("handler_failed", consumer=self._name, queue=delivery.queue, exc_info=error)
        self.park(delivery, f"{type(error).__name__}: {error}")

    def park(self, delivery: Delivery, why: str) -> None:
        """Put it aside, then ack."""
        self._spawn(delivery.queue, self._park(delivery, why))

    def again(self, delivery: Delivery) -> None:
        """Handle it again when the pause is over, here or, after a while, wherever the broker sends it."""
        delivery.tries += 1
        if time.monotonic() - delivery.arrived_at < self._keep_for:
            self._keep(delivery)
        else:
            delivery.requeue()

    async def parked(self, queue: str) -> None:
        """Return when nothing of a queue is being parked."""
        while tasks := self._parks[queue]:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Close what was opened."""
        self.pause.cancel()
        await self._parking.close()

    def _retry(self, delivery: Delivery, seconds: float) -> None:
        if seconds <= 0:
            delivery.requeue()
            return
        self.pause.begin(seconds)
        self.again(delivery)

    def _leave_to_newer(self, delivery: Delivery, error: BaseException) -> None:
        seconds = delay_after(self._newer[delivery.queue], 0, first=NEWER_FIRST, longest=NEWER_LONGEST)
        self._newer[delivery.queue] += 1
        log.error("newer_version", consumer=self._name, queue=delivery.queue, error=str(error), again_in=seconds)
        self._suspend(seconds, delivery)

    async def _park(self, delivery: Delivery, why: str) -> None:
        if not delivery.is_live:
            return
        try:
            await self._parking.park(delivery, why)
        except (Unavailable, Refused, Unroutable) as error:
            log.error("parking_failed", consumer=self._name, queue=delivery.queue, why=why, error=str(error))
            self.outage(delivery, error)
            return
        delivery.ack()

    def _spawn(self, queue: str, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._parks[queue].add(task)
        task.add_done_callback(self._parks[queue].discard)
