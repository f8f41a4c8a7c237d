"""The consuming connection of a service: its queues, which may come and go, and their deliveries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from scaisend_common.plumbing.amqp.connection import Connection
from scaisend_common.plumbing.amqp.delivery import Delivery
from scaisend_common.plumbing.amqp.link import keep_connected
from scaisend_common.plumbing.amqp.subscription import Subscription
from scaisend_common.plumbing.amqp.url import parse_url

PREFETCH_MOST = 2000  # what quorum queues allow

log = structlog.get_logger()


class Intake:
    """`deliver` gets every delivery of every queue."""

    def __init__(self, url: str, queues: Sequence[str], *, name: str, prefetch: int, deliver: Callable[[Delivery], None]) -> None:
        if not 1 <= prefetch <= PREFETCH_MOST:
            raise ValueError(f"a prefetch is 1 to {PREFETCH_MOST}, not {prefetch}")
        self._broker = parse_url(url)
        self._name = name
        self._prefetch = prefetch
        self._deliver = deliver
        self._subscriptions = {queue: self._subscription(queue) for queue in queues}
        self._connection: Connection | None = None
        self._stopped = asyncio.Event()

    @property
    def queues(self) -> list[str]:
        """What is or should be consumed."""
        return list(self._subscriptions)

    @property
    def is_ready(self) -> bool:
        """A connection stands and every queue is consumed."""
        return (
            self._connection is not None
            and self._connection.is_open
            and all(subscription.is_consuming for subscription in self._subscriptions.values())
        )

    async def run(self) -> None:
        """Consume, reconnecting, until `close`."""
        link = asyncio.create_task(keep_connected(self._broker, self._work, name=self._name), name=f"{self._name}-link")
        stopped = asyncio.create_task(self._stopped.wait())
        try:
            await asyncio.wait((link, stopped), return_when=asyncio.FIRST_COMPLETED)
            if link.done():
                link.result()
        finally:
            link.cancel()
            stopped.cancel()
            await asyncio.gather(link, stopped, return_exceptions=True)

    def add(self, queue: str) -> None:
        """Consume one more queue, at once or when connected."""
        if queue in self._subscriptions:
            return
        subscription = self._subscriptions[queue] = self._subscription(queue)
        if self._connection is not None and self._connection.is_open:
            subscription.attach(self._connection)

    async def stop(self, queue: str) -> None:
        """Have no more delivered of a queue; what is out can still be settled until `drop`."""
        if (subscription := self._subscriptions.get(queue)) is not None:
            await subscription.stop()

    async def drop(self, queue: str) -> None:
        """Close a queue's channel, after its acks; what is still out goes back to it."""
        if (subscription := self._subscriptions.pop(queue, None)) is not None:
            await subscription.close()

    def suspend(self, seconds: float, delivery: Delivery) -> None:
        """Give a delivery back and have nothing more of its queue delivered for a while."""
        if (subscription := self._subscriptions.get(delivery.queue)) is not None:
            subscription.suspend(seconds, delivery)

    async def close(self) -> None:
        """Drop all queues and the connection; `run` returns."""
        await asyncio.gather(*(self.drop(queue) for queue in self.queues))
        self._stopped.set()

    async def _work(self, connection: Connection) -> None:
        self._connection = connection
        for subscription in self._subscriptions.values():
            subscription.attach(connection)
        log.info("amqp_consuming", connection=self._name, queues=len(self._subscriptions))
        try:
            await asyncio.shield(connection.ended)
        finally:
            self._connection = None
            await asyncio.gather(*(subscription.detach() for subscription in self._subscriptions.values()))

    def _subscription(self, queue: str) -> Subscription:
        return Subscription(queue, self._prefetch, self._deliver)
