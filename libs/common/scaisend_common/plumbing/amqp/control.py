"""Listening to a fanout exchange: one exclusive queue per listener, gone with its connection. What is said meanwhile is missed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import structlog

from scaisend_common.plumbing.amqp import methods
from scaisend_common.plumbing.amqp.connection import HEARTBEAT, Connection
from scaisend_common.plumbing.amqp.link import keep_connected
from scaisend_common.plumbing.amqp.url import parse_url

IN_LINE_MOST = 10_000  # messages heard and not yet handled; beyond, the oldest goes, as it would with the connection

T = TypeVar("T")
log = structlog.get_logger()


async def _nothing() -> None:
    pass


class ControlListener(Generic[T]):
    """Hands what it hears to `handle`, one after the other, in order.

    `connected` is awaited each time before the first message of a connection: whatever was said before is lost, so caches are flushed
    there. What cannot be decoded is logged and skipped. An exception from `handle` or `connected` is a bug and ends `run`.
    """

    def __init__(
        self,
        url: str,
        exchange: str,
        decode: Callable[[bytes], T],
        handle: Callable[[T], Awaitable[None]],
        *,
        name: str = "control",
        connected: Callable[[], Awaitable[None]] = _nothing,
        heartbeat: int = HEARTBEAT,
    ) -> None:
        self._broker = parse_url(url)
        self._exchange = exchange
        self._decode = decode
        self._handle = handle
        self._name = name
        self._on_connected = connected
        self._heartbeat = heartbeat
        self._stopped = asyncio.Event()
        self._is_listening = False

    @property
    def is_ready(self) -> bool:
        """A connection stands and the queue is bound and consumed."""
        return self._is_listening

    async def run(self) -> None:
        """Listen until `stop`."""
        link = asyncio.create_task(keep_connected(self._broker, self._listen, name=self._name, heartbeat=self._heartbeat))
        stopped = asyncio.create_task(self._stopped.wait())
        try:
            await asyncio.wait((link, stopped), return_when=asyncio.FIRST_COMPLETED)
            if link.done():
                link.result()
        finally:
            link.cancel()
            stopped.cancel()
            await asyncio.gather(link, stopped, return_exceptions=True)

    async def stop(self) -> None:
        """Stop listening; `run` returns."""
        self._stopped.set()

    async def _listen(self, connection: Connection) -> None:
        heard: asyncio.Queue[bytes] = asyncio.Queue(IN_LINE_MOST)
        channel = await connection.channel()
        channel.on_content = lambda _method, _payload, _header, body: _put(heard, body)
        declared = await channel.call(methods.queue_declare("", exclusive=True, auto_delete=True), methods.QUEUE_DECLARE_OK)
        queue = methods.queue_of(declared)
        await channel.call(methods.queue_bind(queue, self._exchange, ""), methods.QUEUE_BIND_OK)
        await channel.call(methods.consume(queue, "c", no_ack=True), methods.BASIC_CONSUME_OK)
        await self._on_connected()
        self._is_listening = True
        handling = asyncio.create_task(self._handle_all(heard))
        log.info("amqp_listening", connection=self._name, exchange=self._exchange)
        try:
            await asyncio.wait((channel.ended, handling), return_when=asyncio.FIRST_COMPLETED)
            if handling.done():
                handling.result()
        finally:
            self._is_listening = False
            handling.cancel()
            await asyncio.gather(handling, return_exceptions=True)
        if (why := channel.ended.result()) is not None:
            raise why

    async def _handle_all(self, heard: asyncio.Queue[bytes]) -> None:
        while True:
            body = await heard.get()
            try:
                message = self._decode(body)
            except Exception as error:  # noqa: BLE001 - whatever a decoder raises, the next message may be readable
                log.error("control_undecodable", connection=self._name, error=f"{type(error).__name__}: {error}", size=len(body))
                continue
            await self._handle(message)


def _put(heard: asyncio.Queue[bytes], body: bytes) -> None:
    if heard.full():
        heard.get_nowait()
    heard.put_nowait(body)
