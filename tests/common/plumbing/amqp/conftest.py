"""A vhost of the test's own seen through another client, and a relay that can cut, stall and count what passes to the broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol
from urllib.parse import urlsplit

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from scaisend_common.plumbing.amqp.url import parse_url


class Broker:
    """The broker as aio-pika sees it."""

    def __init__(self, url: str, channel: AbstractChannel) -> None:
        self.url = url
        self.channel = channel

    async def queue(self, name: str, *, parked: bool = True, **arguments: int | str) -> None:
        """Declare a quorum queue and, unless told otherwise, where it parks."""
        await self._declare(name, {f"x-{key.replace('_', '-')}": value for key, value in arguments.items()})
        if parked:
            await self.channel.declare_exchange("parked", "direct", durable=True)
            await (await self._declare(f"{name}.parked", {})).bind("parked", name)

    async def put(self, queue: str, *bodies: bytes, headers: dict[str, str] | None = None) -> None:
        for body in bodies:
            await self.channel.default_exchange.publish(aio_pika.Message(body, headers=dict(headers or {}), delivery_mode=2), queue)

    async def get(self, queue: str) -> AbstractIncomingMessage:
        """Take one message, waiting for it."""
        taken = await self.channel.get_queue(queue, ensure=False)
        async with asyncio.timeout(10):
            while (message := await taken.get(fail=False)) is None:  # noqa: ASYNC110 - the broker tells nobody
                await asyncio.sleep(0.02)
        return message

    async def is_empty(self, queue: str) -> bool:
        """Nothing is to be had for a while; what is had goes back."""
        taken = await self.channel.get_queue(queue, ensure=False)
        for _ in range(5):
            if (message := await taken.get(fail=False)) is not None:
                await message.nack()
                return False
            await asyncio.sleep(0.05)
        return True

    async def _declare(self, name: str, arguments: dict[str, int | str]) -> aio_pika.abc.AbstractQueue:
        return await self.channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum", **arguments})


@pytest.fixture
async def broker(fresh_vhost: Callable[[], str]) -> AsyncIterator[Broker]:
    url = fresh_vhost()
    at = parse_url(url)
    connection = await aio_pika.connect(host=at.host, port=at.port, virtualhost=at.vhost)
    async with connection:
        yield Broker(url, await connection.channel())


class Relay:
    """Stands between a client and the broker; `url` is the broker's through it."""

    def __init__(self, url: str) -> None:
        self.upstream = parse_url(url)
        self.url = url
        self.sent: list[bytes] = []  # what clients sent, as it was read
        self.accepts = True
        self._flows = asyncio.Event()
        self._flows.set()
        self._pairs: list[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """End every connection without a word."""
        for pair in self._pairs:
            for writer in pair:
                if not writer.transport.is_closing():  # Python 3.11.2 raises where TLS was closed before
                    writer.transport.abort()
        self._pairs.clear()

    def stall(self) -> None:
        """Pass nothing on, either way."""
        self._flows.clear()

    def resume(self) -> None:
        self._flows.set()

    def inject(self, data: bytes) -> None:
        """Say something to the clients as the broker."""
        for client, _ in self._pairs:
            client.write(data)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.accepts:
            if not writer.transport.is_closing():  # Python 3.11.2 raises where TLS was closed before
                writer.transport.abort()
            return
        up_reader, up_writer = await asyncio.open_connection(self.upstream.host, self.upstream.port)
        self._pairs.append((writer, up_writer))
        for source, sink, note in ((reader, up_writer, self.sent.append), (up_reader, writer, None)):
            task = asyncio.create_task(self._pass_on(source, sink, note))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        self.resume()
        self.cut()
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, note: Callable[[bytes], None] | None) -> None:
        try:
            while data := await source.read(2**18):
                if note is not None:
                    note(data)
                await self._flows.wait()
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        finally:
            sink.close()


@pytest.fixture
async def relay(broker: Broker) -> AsyncIterator[Relay]:
    relay = Relay(broker.url)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    parts = urlsplit(broker.url)
    relay.url = broker.url.replace(f":{parts.port}", f":{server.sockets[0].getsockname()[1]}")
    yield relay
    server.close()
    await relay.close()
    await server.wait_closed()


class Runnable(Protocol):
    """A consumer of any kind."""

    @property
    def is_ready(self) -> bool: ...

    async def run(self) -> None: ...

    async def stop(self) -> None: ...


@asynccontextmanager
async def running(consumer: Runnable, *, when_ready: bool = True) -> AsyncIterator[None]:
    """Run a consumer; stop it at the end."""
    task = asyncio.create_task(consumer.run())
    try:
        if when_ready:
            await eventually(lambda: consumer.is_ready)
        yield
    finally:
        async with asyncio.timeout(10):
            await consumer.stop()
            await task


async def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Return when the condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - whatever the condition is, it has no event
            await asyncio.sleep(0.01)


async def gathered(*awaitables: Awaitable[None]) -> list[BaseException | None]:
    """How each ended."""
    return await asyncio.gather(*awaitables, return_exceptions=True)
