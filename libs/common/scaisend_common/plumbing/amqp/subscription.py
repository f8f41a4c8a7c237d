"""One queue consumed on a channel of its own, so that its errors, its acks and its end are nobody else's."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

import structlog

from scaisend_common.plumbing.amqp import methods
from scaisend_common.plumbing.amqp.acks import Acks
from scaisend_common.plumbing.amqp.channel import Channel, ChannelClosed
from scaisend_common.plumbing.amqp.connection import Connection
from scaisend_common.plumbing.amqp.delivery import Delivery
from scaisend_common.plumbing.amqp.link import LONG_ENOUGH, delay_after
from scaisend_common.plumbing.amqp.settlement import Unavailable

CONSUMER_TAG = "c"  # one consumer a channel
LONGEST_DELAY = 30.0  # seconds between tries to consume a queue that refuses

log = structlog.get_logger()


class Subscription:
    """`deliver` gets every delivery, in order, and must not raise."""

    def __init__(self, queue: str, prefetch: int, deliver: Callable[[Delivery], None]) -> None:
        self.queue = queue
        self._prefetch = prefetch
        self._deliver = deliver
        self._lane: _Lane | None = None
        self._is_consuming = False
        self._is_stopping = False
        self._keeping: asyncio.Task[None] | None = None
        self._resuming: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._giving_back: list[Delivery] = []

    @property
    def is_consuming(self) -> bool:
        """The broker delivers."""
        return self._is_consuming and self._lane is not None and self._lane.is_live

    def attach(self, connection: Connection) -> None:
        """Consume on this connection until it or the subscription ends."""
        self._keeping = asyncio.create_task(self._keep(connection), name=f"consume {self.queue}")
        self._keeping.add_done_callback(lambda task: self._on_keeping_end(task, connection))

    async def detach(self) -> None:
        """The connection is gone."""
        tasks = [task for task in (self._keeping, self._resuming) if task is not None]
        self._lane = self._keeping = self._resuming = None
        self._is_consuming = False
        self._giving_back.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def stop(self) -> None:
        """Have no more delivered; what is out can still be settled."""
        self._is_stopping = True
        await self._cancel()

    async def close(self) -> None:
        """Send the last acks and close the channel; what is still out goes back to the queue."""
        if self._lane is not None:
            self._lane.flush()
            await self._lane.channel.close()
        await self.detach()

    def suspend(self, seconds: float, delivery: Delivery) -> None:
        """Give a delivery back and have nothing delivered for a while; what is out can be settled, others may take the rest."""
        self._giving_back.append(delivery)
        if self._resuming is None or self._resuming.done():
            self._resuming = asyncio.create_task(self._rest(seconds), name=f"suspended {self.queue}")

    async def _rest(self, seconds: float) -> None:
        lane = self._lane
        await self._cancel()
        await asyncio.sleep(seconds)
        if lane is not None and self._may_resume(lane):
            try:
                await self._consume(lane)
            except (ChannelClosed, Unavailable):
                return  # `_keep` sees the same end

    def _is_wanted(self, connection: Connection) -> bool:
        return connection.is_open and not self._is_stopping

    def _may_resume(self, lane: _Lane) -> bool:
        return lane is self._lane and lane.is_live and not self._is_stopping

    async def _keep(self, connection: Connection) -> None:
        """Open a channel and consume, again after it ended, later each time that it was short."""
        failures = 0
        while self._is_wanted(connection):
            began_at = time.monotonic()
            try:
                channel = await connection.channel()
                self._lane = lane = _Lane(channel)
                channel.on_content = self._on_content
                channel.on_cancelled = self._on_cancelled
                await channel.call(methods.qos(self._prefetch), methods.BASIC_QOS_OK)
                await self._consume(lane)
                if not self._is_wanted(connection):
                    await self._cancel()
                why = await asyncio.shield(channel.ended)
            except (ChannelClosed, Unavailable) as error:
                why = error
            self._is_consuming = False
            if not self._is_wanted(connection):
                return
            failures = 0 if time.monotonic() - began_at > LONG_ENOUGH else failures + 1
            delay = delay_after(failures, random.random(), longest=LONGEST_DELAY)  # noqa: S311 - spreads tries, guards nothing
            log.error("amqp_consuming_ended", queue=self.queue, why=str(why), again_in=round(delay, 2))
            await asyncio.sleep(delay)

    async def _consume(self, lane: _Lane) -> None:
        self._is_consuming = True  # deliveries come with the reply
        try:
            await lane.channel.call(methods.consume(self.queue, CONSUMER_TAG), methods.BASIC_CONSUME_OK)
        except (ChannelClosed, Unavailable):
            self._is_consuming = False
            raise

    async def _cancel(self) -> None:
        """Cancel the consumer, then give back what is to be: given back before, it would be delivered here again."""
        if self._lane is not None and self._is_consuming:
            self._is_consuming = False
            try:
                await self._lane.channel.call(methods.cancel(CONSUMER_TAG), methods.BASIC_CANCEL_OK)
            except (ChannelClosed, Unavailable):
                return
        while self._giving_back:
            self._giving_back.pop().requeue()

    def _on_content(self, _method: int, payload: bytes, header: bytes, body: bytes) -> None:
        lane = self._lane
        assert lane is not None
        tag, redelivered = methods.deliver_of(payload)
        delivery = Delivery(lane, self.queue, tag, redelivered, header, body, time.monotonic())
        if not self._is_consuming:
            self._giving_back.append(delivery)
        else:
            self._deliver(delivery)

    def _on_cancelled(self) -> None:
        """The queue was deleted or its leader went: begin anew on another channel."""
        if self._lane is not None:
            log.error("amqp_consumer_cancelled", queue=self.queue)
            self._closing = asyncio.create_task(self._lane.channel.close(), name=f"close {self.queue}")

    def _on_keeping_end(self, keeping: asyncio.Task[None], connection: Connection) -> None:
        """Only a bug ends it while the connection stands and the queue is wanted; a new connection begins anew."""
        if not keeping.cancelled() and (error := keeping.exception()) is not None:
            log.error("amqp_consuming_died", queue=self.queue, exc_info=error)
            connection.abort("consuming failed")

    def __repr__(self) -> str:
        return f"<Subscription {self.queue} {'consuming' if self.is_consuming else 'not consuming'}>"


class _Lane:
    """The channel of a subscription with its acks, which leave together once a turn of the loop. The origin of its deliveries."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._acks = Acks()
        self._loop = asyncio.get_running_loop()

    @property
    def is_live(self) -> bool:
        return self.channel.is_open

    def finish(self, tag: int) -> None:
        if self._acks.finish(tag):
            self._loop.call_soon(self.flush)

    def requeue(self, tag: int) -> None:
        self._acks.requeued(tag)
        self.channel.send(methods.requeue(tag))

    def flush(self) -> None:
        for tag, multiple in self._acks.take():
            self.channel.send(methods.ack(tag, multiple=multiple))
