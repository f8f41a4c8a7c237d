"""Looking at what was parked, and sending it on its way again. For operators: one message at a time, over aio-pika.

A look takes messages and gives them back, behind those that it did not take. It counts as a delivery, so parking queues need a generous
delivery limit.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aio_pika
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity, DeliveryError

from scaisend_common.plumbing.amqp.parking import WHY
from scaisend_common.plumbing.amqp.settlement import Refused, Unavailable, Unroutable
from scaisend_common.plumbing.amqp.url import parse_url

CONNECT_TIMEOUT = 10.0
ANSWER_TIMEOUT = 30.0
DEATH = "x-first-death-reason"  # set by the broker where it gave up by itself: `delivery_limit`


@dataclass(frozen=True, slots=True)
class Parked:
    """A parked message: its bytes and why it was parked."""

    body: bytes
    why: str


async def count_parked(url: str, queues: Sequence[str]) -> dict[str, int]:
    """Return how many messages each queue holds; a queue that was never declared is left out. Raises Unavailable."""
    counts: dict[str, int] = {}
    async with _connected(url) as connection:
        for name in queues:
            async with connection.channel() as channel:
                try:
                    queue = await channel.declare_queue(name, passive=True)
                except ChannelNotFoundEntity:
                    continue
                counts[name] = queue.declaration_result.message_count or 0
    return counts


async def look(url: str, queue: str, most: int) -> list[Parked]:
    """Return messages from the front of a queue and leave them there. Raises Unavailable."""
    async with _connected(url) as connection, connection.channel() as channel:
        source = await channel.declare_queue(queue, passive=True)
        found: list[Parked] = []
        while len(found) < most and (message := await source.get(fail=False, timeout=ANSWER_TIMEOUT)) is not None:
            found.append(Parked(message.body, _why(message)))
        return found  # the channel's end gives them back


async def replay(url: str, queue: str, to: str, most: int, prepare: Callable[[bytes], bytes]) -> int:
    """Move messages from the front of `queue` to the queue `to`, each as `prepare` returns it; return how many were moved.

    A message is taken off after the broker confirmed its copy: a crash in between leaves both, so `prepare` has to mark the copy as a
    repeat. Raises Unavailable, Refused, Unroutable, and what `prepare` raises: what is not moved stays.
    """
    moved = 0
    async with _connected(url) as connection, connection.channel(on_return_raises=True) as channel:
        source = await channel.declare_queue(queue, passive=True)
        while moved < most and (message := await source.get(fail=False, timeout=ANSWER_TIMEOUT)) is not None:
            copy = aio_pika.Message(prepare(message.body), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            try:
                await channel.default_exchange.publish(copy, to, timeout=ANSWER_TIMEOUT)
            except aio_pika.exceptions.PublishError:
                raise Unroutable(f"there is no queue {to}") from None
            except DeliveryError as error:
                raise Refused(str(error)) from error
            await message.ack()
            moved += 1
    return moved


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[AbstractConnection]:
    at = parse_url(url)
    try:
        connection = await aio_pika.connect(
            host=at.host, port=at.port, login=at.user, password=at.password, virtualhost=at.vhost, ssl=at.tls, timeout=CONNECT_TIMEOUT
        )
        async with connection:
            yield connection
    except ChannelNotFoundEntity as error:
        raise Unroutable(str(error)) from error
    except (AMQPError, OSError, TimeoutError) as error:
        raise Unavailable(f"the broker at {at.host}:{at.port}, vhost {at.vhost}: {error or type(error).__name__}") from error


def _why(message: AbstractIncomingMessage) -> str:
    for header in (WHY, DEATH):
        match message.headers.get(header):
            case str(text):
                return text
            case bytes(text):
                return text.decode("utf-8", "replace")
    return "not said"
