"""Consuming with bounded prefetch; a handler's word settles the message."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from functools import partial
from typing import Generic, TypeVar

from scaisend_common.plumbing.amqp.delivery import Delivery
from scaisend_common.plumbing.amqp.intake import Intake
from scaisend_common.plumbing.amqp.parking import Parking
from scaisend_common.plumbing.amqp.settlement import Incoming, Settlement
from scaisend_common.plumbing.amqp.settler import KEEP, OUTAGES, Outages, Settler

T = TypeVar("T")


class Consumer(Generic[T]):
    """One task per message. Undecodable bytes are parked; a newer version pauses the queue and alarms; an exception parks with its text.

    Messages come in bursts: one is begun in each turn of the loop, but those of queues that go first as they come. To begin is to decode
    and to call `handle`; what a plain function does before it returns its coroutine is done by then.

    `run()` connects, consumes and reconnects until `stop()`; `stop()` cancels the consumer, lets running handlers end and settles them.
    Acks of a contiguous finished run travel as one (`multiple`). `prefetch` is per queue. A decoder's or handler's exception with a
    true attribute `pauses_queue` is a newer version; one of `outages` keeps the message and pauses everything, longer each time.
    When the connection is lost, running handlers go on and their settlements are void: the messages come again, marked redelivered.
    """

    def __init__(
        self,
        url: str,
        queues: Sequence[str],
        decode: Callable[[bytes], T],
        handle: Callable[[Incoming[T]], Coroutine[None, None, Settlement]],
        *,
        name: str,
        prefetch: int,
        goes_first: Callable[[str], bool] = lambda _queue: False,
        outages: Outages = OUTAGES,
        parking: str = "parked",
        keep_for: timedelta = KEEP,
    ) -> None:
        self._decode = decode
        self._handle = handle
        self._name = name
        self._goes_first = goes_first
        self._waiting: deque[Delivery] = deque()
        self._has_begun = False  # one that waited, in this turn of the loop
        self._running: dict[str, set[asyncio.Task[Settlement]]] = defaultdict(set)
        self._dropping: dict[str, asyncio.Event] = {}
        self._intake = Intake(url, queues, name=name, prefetch=prefetch, deliver=self._deliver)
        self._settler = Settler(
            Parking(url, name=name, exchange=parking),
            name=name,
            outages=outages,
            keep_for=keep_for,
            keep=self._keep,
            resume=self._start_waiting,
            suspend=self._intake.suspend,
        )

    async def run(self) -> None:
        """Consume until `stop`."""
        try:
            await self._intake.run()
        finally:
            await self._settler.close()

    async def stop(self) -> None:
        """Stop consuming; returns when running handlers have ended and are settled."""
        await asyncio.gather(*(self.drop_queue(queue) for queue in self._intake.queues))
        await self._settler.close()
        await self._intake.close()

    async def add_queue(self, queue: str) -> None:
        """Begin to consume one more queue (a shard was won); a drop of the same queue that is still going on is waited for."""
        while (dropped := self._dropping.get(queue)) is not None:
            await dropped.wait()
        self._intake.add(queue)

    async def drop_queue(self, queue: str) -> None:
        """Stop consuming a queue; returns when its running handlers have ended and are settled; unstarted messages are requeued."""
        if (dropped := self._dropping.get(queue)) is not None:
            await dropped.wait()
            return
        dropped = self._dropping[queue] = asyncio.Event()
        try:
            await self._intake.stop(queue)
            self._give_back(queue)
            while tasks := self._running[queue]:
                await asyncio.wait(tasks)
            await self._settler.parked(queue)
            await self._intake.drop(queue)
        finally:
            del self._dropping[queue]
            dropped.set()

    @property
    def is_ready(self) -> bool:
        """A connection stands and every queue is consumed."""
        return self._intake.is_ready

    def _deliver(self, delivery: Delivery) -> None:
        if self._goes_first(delivery.queue) and not self._settler.pause.is_on:
            self._begin(delivery)
        else:
            self._waiting.append(delivery)
            self._start_waiting()

    def _keep(self, delivery: Delivery) -> None:
        if delivery.queue in self._dropping:
            delivery.requeue()
        else:
            self._waiting.append(delivery)

    def _start_waiting(self) -> None:
        if not self._waiting or self._has_begun or self._settler.pause.is_on:
            return
        self._has_begun = True
        asyncio.get_running_loop().call_soon(self._next_turn)
        if (delivery := self._waiting.popleft()).is_live:
            self._begin(delivery)

    def _next_turn(self) -> None:
        self._has_begun = False
        self._start_waiting()

    def _begin(self, delivery: Delivery) -> None:
        task = asyncio.create_task(self._handling(delivery))
        self._running[delivery.queue].add(task)
        task.add_done_callback(partial(self._on_end, delivery))

    def _handling(self, delivery: Delivery) -> Coroutine[None, None, Settlement]:
        try:
            value = self._decode(delivery.body)
            return self._handle(Incoming(value, delivery.queue, delivery.redelivered or delivery.tries > 0, delivery.failures))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the fate of this message, not of those beside it
            return _failed(error)

    def _give_back(self, queue: str) -> None:
        for _ in range(len(self._waiting)):
            delivery = self._waiting.popleft()
            if delivery.queue == queue:
                delivery.requeue()
            else:
                self._waiting.append(delivery)

    def _on_end(self, delivery: Delivery, task: asyncio.Task[Settlement]) -> None:
        """Settle by how the handler ended. A crash before this repeats the message; the broker holds it until then."""
        self._running[delivery.queue].discard(task)
        if task.cancelled():
            delivery.requeue()
        elif (error := task.exception()) is None:
            self._settler.settle(delivery, task.result())
        elif self._settler.is_outage(error):
            self._settler.outage(delivery, error)
        else:
            self._settler.broken(delivery, error)

    def __repr__(self) -> str:
        running = sum(map(len, self._running.values()))
        return f"<Consumer {self._name} {'ready' if self.is_ready else 'not ready'}, {running} running, {len(self._waiting)} waiting>"


async def _failed(error: Exception) -> Settlement:
    raise error
