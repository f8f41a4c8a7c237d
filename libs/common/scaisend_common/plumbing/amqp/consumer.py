"""Consuming with bounded prefetch; a handler's word settles the message."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Generic, TypeVar

from scaisend_common.plumbing.amqp.settlement import Incoming, Settlement

T = TypeVar("T")


class Consumer(Generic[T]):
    """One task per message. Undecodable bytes are parked; a newer version pauses the queue and alarms; an exception parks with its text.

    `run()` connects, consumes and reconnects until `stop()`; `stop()` cancels the consumer, lets running handlers end and settles them.
    Acks of a contiguous finished run travel as one (`multiple`).
    """

    def __init__(
        self,
        url: str,
        queues: Sequence[str],
        decode: Callable[[bytes], T],
        handle: Callable[[Incoming[T]], Awaitable[Settlement]],
        *,
        name: str,
        prefetch: int,
    ) -> None: ...

    async def run(self) -> None: ...

    async def stop(self) -> None: ...

    async def add_queue(self, queue: str) -> None:
        """Begin to consume one more queue (a shard was won)."""

    async def drop_queue(self, queue: str) -> None:
        """Stop consuming a queue; returns when its running handlers have ended and are settled; unstarted messages are requeued."""

    @property
    def is_ready(self) -> bool:
        """A connection stands and every queue is consumed."""


class BatchConsumer(Generic[T]):
    """Hands over up to `most` messages at once, or what came within `linger` of the first; one settlement for each, in order.

    Batches of one consumer run one after the other (`concurrency` at a time); an exception from the handler retries the batch after a
    pause, message by message from the second time on, so that one poisonous message parks alone.
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
    ) -> None: ...

    async def run(self) -> None: ...

    async def stop(self) -> None: ...

    @property
    def is_ready(self) -> bool:
        """A connection stands and every queue is consumed."""
