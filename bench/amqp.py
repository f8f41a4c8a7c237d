"""Publishing with confirms and consuming with acks: our client against aio-pika, on one quorum queue of a running broker.

`python bench/amqp.py --url amqp://guest:guest@127.0.0.1:5672/%2F`. Prints messages a second and microseconds of this process's CPU a
message, medians of `--runs`, interleaved. 100 publishes in flight, prefetch 200, bodies of 4 KB: what the services do.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aio_pika
import uvloop
from aio_pika.abc import AbstractIncomingMessage

from scaisend_common.plumbing.amqp import Ack, Consumer, Incoming, Publisher, Settlement

QUEUE = "bench.amqp"
IN_FLIGHT = 100
PREFETCH = 200


@dataclass(frozen=True)
class Load:
    """Where, how many and how large."""

    url: str
    count: int
    body: bytes


async def publish_ours(load: Load) -> None:
    async with Publisher(load.url, name="bench") as publisher:

        async def one_of_many() -> None:
            for _ in range(load.count // IN_FLIGHT):
                await publisher.publish("", QUEUE, load.body)

        await asyncio.gather(*(one_of_many() for _ in range(IN_FLIGHT)))


async def consume_ours(load: Load) -> None:
    done = asyncio.Event()
    left = load.count

    async def handle(_incoming: Incoming[bytes]) -> Settlement:
        nonlocal left
        left -= 1
        if not left:
            done.set()
        return Ack()

    consumer = Consumer(load.url, [QUEUE], bytes, handle, name="bench", prefetch=PREFETCH)
    running = asyncio.create_task(consumer.run())
    await done.wait()
    await consumer.stop()
    await running


async def publish_pika(load: Load) -> None:
    async with await aio_pika.connect(load.url) as connection:
        channel = await connection.channel(on_return_raises=True)

        async def one_of_many() -> None:
            for _ in range(load.count // IN_FLIGHT):
                message = aio_pika.Message(load.body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
                await channel.default_exchange.publish(message, QUEUE)

        await asyncio.gather(*(one_of_many() for _ in range(IN_FLIGHT)))


async def consume_pika(load: Load) -> None:
    done = asyncio.Event()
    left = load.count

    async def handle(message: AbstractIncomingMessage) -> None:
        nonlocal left
        await message.ack()
        left -= 1
        if not left:
            done.set()

    async with await aio_pika.connect(load.url) as connection:
        channel = await connection.channel()
        await channel.set_qos(PREFETCH)
        queue = await channel.get_queue(QUEUE, ensure=False)
        await queue.consume(handle)
        await done.wait()


async def measure(work: Callable[[Load], Awaitable[None]], load: Load) -> tuple[float, float]:
    """Messages a second, microseconds of CPU a message."""
    began_at, cpu_before = time.perf_counter(), time.process_time()
    await work(load)
    return load.count / (time.perf_counter() - began_at), (time.process_time() - cpu_before) / load.count * 1e6


async def main(load: Load, runs: int) -> None:
    figures: dict[tuple[str, str], list[tuple[float, float]]] = {}
    async with await aio_pika.connect(load.url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        await queue.purge()
        for _ in range(runs):
            for client, publish, consume in (("ours", publish_ours, consume_ours), ("aio-pika", publish_pika, consume_pika)):
                figures.setdefault(("publish", client), []).append(await measure(publish, load))
                figures.setdefault(("consume", client), []).append(await measure(consume, load))
        await queue.delete(if_unused=False, if_empty=False)
    print(f"{'':20}{'messages/s':>12}{'µs CPU':>10}   medians of {runs} runs of {load.count} x {len(load.body)} bytes")
    for (what, client), runs_of_it in sorted(figures.items(), reverse=True):
        rates, costs = zip(*runs_of_it, strict=True)
        print(f"{what + ' ' + client:20}{statistics.median(rates):12,.0f}{statistics.median(costs):10.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--bytes", type=int, default=4096)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    uvloop.run(main(Load(arguments.url, arguments.messages, b"x" * arguments.bytes), arguments.runs))
