"""Making exchanges, queues and bindings so, before any service takes traffic; services only check that they are.

A quorum queue whose broker is killed within a second of its declaration may lose everything that was confirmed to it and never elect a
leader, seen on 3.10.8 and reported of newer ones (rabbitmq-server issue 15725). So whatever was newly made is left to settle, and then a
message goes through every idle queue and back: queue counters look healthy on a queue that has no leader.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import aio_pika
from aio_pika.abc import AbstractConnection, AbstractQueue
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity, ChannelPreconditionFailed, DeliveryError

from scaisend_common.plumbing.amqp.check import check_declared
from scaisend_common.plumbing.amqp.url import parse_url

__all__ = ["SETTLE", "DeclarationFailed", "Declared", "ExchangeShape", "QueueShape", "check_declared", "declare"]

SETTLE = timedelta(seconds=5)
PATIENCE = timedelta(seconds=30)  # a leader may take some seconds to be elected
PROBE = b"\x00probe"  # decodes as nothing: a consumer that gets hold of it parks it
CONNECT_TIMEOUT = 10.0


class ExchangeShape(Protocol):
    """A durable exchange of one kind."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def kind(self) -> str:
        """`direct`, `fanout` …"""


class QueueShape(Protocol):
    """A durable queue, bound by one key to one exchange."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def exchange(self) -> str:
        """The exchange that it is bound to."""

    @property
    def key(self) -> str:
        """The binding key."""

    @property
    def arguments(self) -> Mapping[str, str | int]:
        """Its `x-…` arguments, all of them."""


class DeclarationFailed(Exception):
    """The broker has something else under that name, or does not work; the text says what and what to do."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What was newly made, what stood already, and how many queues a message was sent through."""

    made: tuple[str, ...]
    stood: tuple[str, ...]
    probed: int


async def declare(
    url: str,
    exchanges: Sequence[ExchangeShape],
    queues: Sequence[QueueShape],
    *,
    settle: timedelta = SETTLE,
    patience: timedelta = PATIENCE,
    progress: Callable[[str], None] = lambda _: None,
) -> Declared:
    """Make everything so, and prove that it works. Raises DeclarationFailed.

    May be run again at any time, with services running. Waits for `settle` only when something was newly made. The probe goes through
    every queue that is empty and has no consumer, within `patience` each; one that has either is at work already and is left alone.
    """
    async with _connected(url) as broker:
        for exchange in exchanges:
            await broker.declare_exchange(exchange)
        progress(f"{len(exchanges)} exchanges stand")
        made: list[str] = []
        stood: list[str] = []
        for queue in queues:
            is_new = await broker.declare_queue(queue)
            (made if is_new else stood).append(queue.name)
            if is_new:
                progress(f"made queue {queue.name}")
        progress(f"{len(made)} queues made, {len(stood)} stood already")
        if made and settle:
            progress(f"waiting {settle.total_seconds():g} s for the new ones to settle")
            await asyncio.sleep(settle.total_seconds())
        probed = 0
        for queue in queues:
            probed += await broker.probe(queue.name, patience.total_seconds())
        progress(f"a message went through {probed} idle queues and back")
        return Declared(tuple(made), tuple(stood), probed)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[_Broker]:
    at = parse_url(url)
    try:
        connection = await aio_pika.connect(
            host=at.host, port=at.port, login=at.user, password=at.password, virtualhost=at.vhost, ssl=at.tls, timeout=CONNECT_TIMEOUT
        )
        async with connection:
            yield _Broker(connection)
    except (AMQPError, OSError) as error:
        raise DeclarationFailed(f"the broker at {at.host}:{at.port}, vhost {at.vhost}: {error or type(error).__name__}") from error


class _Broker:
    """A channel for each question, since a no closes it."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection

    async def declare_exchange(self, exchange: ExchangeShape) -> None:
        async with self._connection.channel() as channel:
            try:
                await channel.declare_exchange(exchange.name, exchange.kind, durable=True)
            except ChannelPreconditionFailed as error:
                raise DeclarationFailed(f"exchange {exchange.name} exists and is another: {error}; delete it first") from error

    async def declare_queue(self, queue: QueueShape) -> bool:
        """Declare and bind; True when it did not exist before."""
        is_new = await self.is_missing(queue.name)
        async with self._connection.channel() as channel:
            try:
                declared = await channel.declare_queue(queue.name, durable=True, arguments=dict(queue.arguments))
                await declared.bind(queue.exchange, queue.key)
            except ChannelPreconditionFailed as error:
                raise DeclarationFailed(
                    f"queue {queue.name} exists with other arguments: {error}; drain it, delete it and declare again"
                ) from error
        return is_new

    async def is_missing(self, queue: str) -> bool:
        async with self._connection.channel() as channel:
            try:
                await channel.declare_queue(queue, passive=True)
            except ChannelNotFoundEntity:
                return True
        return False

    async def probe(self, name: str, seconds: float) -> bool:
        """Send a message through the queue and back; False when it is at work already."""
        try:
            async with asyncio.timeout(seconds):
                async with self._connection.channel(on_return_raises=True) as channel:
                    queue = await channel.declare_queue(name, passive=True)
                    if queue.declaration_result.message_count or queue.declaration_result.consumer_count:
                        return False
                    await channel.default_exchange.publish(aio_pika.Message(PROBE, delivery_mode=aio_pika.DeliveryMode.PERSISTENT), name)
                    await _get_probe(queue)
                    return True
        except TimeoutError:
            raise DeclarationFailed(f"queue {name} takes or gives no message within {seconds:g} s: it may have no leader") from None
        except DeliveryError as error:
            raise DeclarationFailed(f"queue {name} takes no message: {error}") from error


async def _get_probe(queue: AbstractQueue) -> None:
    """Get the probe back. Anything else that came meanwhile goes back to the queue, and shows as well that it works."""
    while (message := await queue.get(fail=False)) is None:  # noqa: ASYNC110 - the broker tells nobody when a get would succeed
        await asyncio.sleep(0.05)
    if message.body == PROBE:
        await message.ack()
    else:
        await message.nack(requeue=True)
