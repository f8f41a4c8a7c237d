"""Looking into queues of the real broker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

import aio_pika

from scaisend_common.messages import EventBatch, Job, LaterItem, Stream, decode_events, decode_jobs, decode_later
from scaisend_common.plumbing.amqp import Publisher
from scaisend_common.topology import LATER_QUEUE, Topology, deliver_queue, record_queue

T = TypeVar("T")
TOPOLOGY = Topology()


async def taken(amqp_url: str, queues: Iterable[str], decode: Callable[[bytes], T]) -> list[T]:
    """Take all messages out of these queues."""
    found: list[T] = []
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        for name in queues:
            queue = await channel.get_queue(name)
            while (message := await queue.get(fail=False)) is not None:
                found.append(decode(message.body))
                await message.ack()
    return found


async def jobs_in(amqp_url: str, stream: Stream = Stream.TRANSACTIONAL) -> list[Job]:
    queues = [deliver_queue("default", shard, stream) for shard in range(TOPOLOGY.shards)]
    return [job for batch in await taken(amqp_url, queues, decode_jobs) for job in batch.jobs]


async def waiting_in(amqp_url: str) -> list[LaterItem]:
    return [item for batch in await taken(amqp_url, [LATER_QUEUE], decode_later) for item in batch.items]


async def event_batches_in(amqp_url: str) -> list[EventBatch]:
    return await taken(amqp_url, [record_queue(lane) for lane in range(TOPOLOGY.event_lanes)], decode_events)


@asynccontextmanager
async def publishing(amqp_url: str) -> AsyncIterator[Publisher]:
    async with Publisher(amqp_url, name="test") as publisher:
        yield publisher
