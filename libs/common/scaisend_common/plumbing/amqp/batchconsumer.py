"""Consuming in batches, for work that is cheaper together, such as rows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Generic, NamedTuple, TypeVar

import structlog

from scaisend_common.plumbing.amqp.batching import Batching
from scaisend_common.plumbing.amqp.delivery import Delivery
from scaisend_common.plumbing.amqp.intake import Intake
from scaisend_common.plumbing.amqp.parking import Parking
from scaisend_common.plumbing.amqp.settlement import Incoming, Settlement
from scaisend_common.plumbing.amqp.settler import KEEP, OUTAGES, Outages, Settler

SUSPECT_FAILURES = 3  # deliveries that came to nothing, from which on a message is handled alone
PAUSE_AFTER_FAILURE = 1.0  # seconds

T = TypeVar("T")
log = structlog.get_logger()


class _Member(NamedTuple, Generic[T]):
    delivery: Delivery
    value: T


class BatchConsumer(Generic[T]):
    """Hands over up to `most` messages at once, or what came within `linger` of the first; one settlement for each, in order.

    Batches of one consumer run one after the other (`concurrency` at a time); an exception from the handler retries the batch after a
    pause, message by message from the second time on, so that one poisonous message parks alone. A message that the broker delivered
    three times before in vain is handled alone at once. `outages`, `prefetch`, parking and loss of the connection are as in Consumer;
    a batch that an outage stopped is tried again as it comes, however often.
    """

    def __init__(
        self,
        url: str,
        queues: Sequence[str],
        decode: Callable[[bytes], T],
        handle: Callable[[Sequence[Incoming[T]]], Awaitable[Sequence[Settlement]]],
        *,
        name: str,
        prefetch: int,
        most: int,
        linger: timedelta,
        concurrency: int = 1,
        outages: Outages = OUTAGES,
        parking: str = "parked",
        keep_for: timedelta = KEEP,
    ) -> None:
        self._decode = decode
        self._handle = handle
        self._name = name
        self._concurrency = concurrency
        self._batching: Batching[Delivery] = Batching(most, linger.total_seconds())
        self._kept: list[Delivery] = []
        self._running: set[asyncio.Task[Sequence[Settlement]]] = set()
        self._linger: asyncio.TimerHandle | None = None
        self._is_stopping = False
        self._intake = Intake(url, queues, name=name, prefetch=prefetch, deliver=self._deliver)
        self._settler = Settler(
            Parking(url, name=name, exchange=parking),
            name=name,
            outages=outages,
            keep_for=keep_for,
            keep=self._keep,
            resume=self._resume,
            suspend=self._intake.suspend,
        )

    async def run(self) -> None:
        """Consume until `stop`."""
        try:
            await self._intake.run()
        finally:
            await self._settler.close()

    async def stop(self) -> None:
        """Stop consuming; returns when running batches have ended and are settled; unstarted messages are requeued."""
        queues = self._intake.queues
        self._is_stopping = True
        await asyncio.gather(*(self._intake.stop(queue) for queue in queues))
        for delivery in [*self._kept, *self._batching.clear()]:
            delivery.requeue()
        self._kept.clear()
        while self._running:
            await asyncio.wait(self._running)
        await asyncio.gather(*(self._settler.parked(queue) for queue in queues))
        await self._settler.close()
        await self._intake.close()

    @property
    def is_ready(self) -> bool:
        """A connection stands and every queue is consumed."""
        return self._intake.is_ready

    def _deliver(self, delivery: Delivery) -> None:
        if self._settler.pause.is_on:
            self._kept.append(delivery)
            return
        self._put_in_line(delivery)
        self._start()

    def _keep(self, delivery: Delivery) -> None:
        if self._is_stopping:
            delivery.requeue()
        elif self._settler.pause.is_on:
            self._kept.append(delivery)
        else:
            self._put_in_line(delivery)

    def _resume(self) -> None:
        kept, self._kept = self._kept, []
        for delivery in kept:
            self._put_in_line(delivery)
        self._start()

    def _put_in_line(self, delivery: Delivery) -> None:
        if delivery.is_live:
            self._batching.add(delivery, asyncio.get_running_loop().time(), alone=_is_suspect(delivery))

    def _start(self) -> None:
        """Start batches as long as some are due and places are free."""
        loop = asyncio.get_running_loop()
        while len(self._running) < self._concurrency and not self._settler.pause.is_on and not self._is_stopping:
            batch = self._batching.next(loop.time())
            if not batch:
                self._wait_for_linger(loop)
                return
            if live := [member for delivery in batch if delivery.is_live and (member := self._decoded(delivery)) is not None]:
                task = asyncio.create_task(self._work(live))
                self._running.add(task)
                task.add_done_callback(partial(self._on_end, live))

    def _decoded(self, delivery: Delivery) -> _Member[T] | None:
        """Decode it when its batch begins: done as they come, a burst of them would keep the loop from all others."""
        try:
            return _Member(delivery, self._decode(delivery.body))
        except Exception as error:  # noqa: BLE001 - whatever a decoder raises is the fate of this message, not of the consumer
            self._settler.broken(delivery, error)
            return None

    def _wait_for_linger(self, loop: asyncio.AbstractEventLoop) -> None:
        due_at = self._batching.due_at()
        if due_at is not None and self._linger is None:
            self._linger = loop.call_at(due_at, self._on_linger)

    def _on_linger(self) -> None:
        self._linger = None
        self._start()

    async def _work(self, batch: list[_Member[T]]) -> Sequence[Settlement]:
        settlements = await self._handle(
            [
                Incoming(value, delivery.queue, delivery.redelivered or delivery.tries > 0, delivery.failures, _is_suspect(delivery))
                for delivery, value in batch
            ]
        )
        if len(settlements) != len(batch):
            raise ValueError(f"{len(settlements)} settlements for {len(batch)} messages")
        return settlements

    def _on_end(self, batch: list[_Member[T]], task: asyncio.Task[Sequence[Settlement]]) -> None:
        """Settle by how the handler ended. A crash before this repeats the batch; the broker holds it until then."""
        self._running.discard(task)
        deliveries = [member.delivery for member in batch]
        if task.cancelled():
            for delivery in deliveries:
                delivery.requeue()
        elif (error := task.exception()) is None:
            for delivery, settlement in zip(deliveries, task.result(), strict=True):
                self._settler.settle(delivery, settlement)
        elif self._settler.is_outage(error):
            for delivery in deliveries:
                self._settler.outage(delivery, error)
        else:
            self._broken(deliveries, error)
        self._start()

    def _broken(self, deliveries: list[Delivery], error: BaseException) -> None:
        """The first time it may be anybody's fault, so each is tried alone; who fails alone is to blame."""
        if len(deliveries) == 1 and (deliveries[0].is_suspect or getattr(error, "pauses_queue", False)):
            self._settler.broken(deliveries[0], error)
            return
        log.error("batch_failed", consumer=self._name, messages=len(deliveries), exc_info=error)
        self._settler.pause.begin(PAUSE_AFTER_FAILURE)
        for delivery in deliveries:
            delivery.is_suspect = True
            self._settler.again(delivery)

    def __repr__(self) -> str:
        state = "ready" if self.is_ready else "not ready"
        return f"<BatchConsumer {self._name} {state}, {len(self._running)} batches running, {len(self._batching)} messages in line>"


def _is_suspect(delivery: Delivery) -> bool:
    return delivery.is_suspect or delivery.failures >= SUSPECT_FAILURES
