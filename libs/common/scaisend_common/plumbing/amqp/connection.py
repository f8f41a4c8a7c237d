"""One AMQP connection: handshake, heartbeats both ways, channels, alarms, and its end.

Writes are gathered and leave once per turn of the event loop. A connection never comes back: whoever needs another opens one
(`link.keep_connected`). STANDARDS: AMQP 0-9-1 section 4; RabbitMQ's connection.blocked and authentication_failure_close.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
import time
from collections.abc import Callable
from typing import cast

from scaisend_common.plumbing.amqp import frames, methods
from scaisend_common.plumbing.amqp.channel import Channel
from scaisend_common.plumbing.amqp.fields import Malformed, Table
from scaisend_common.plumbing.amqp.settlement import Unavailable
from scaisend_common.plumbing.amqp.url import BrokerUrl

FRAME_MAX = 131_072  # RabbitMQ's own; larger frames would let one body hold up the others' heartbeats
CHANNEL_MAX = 2_047
HEARTBEAT = 20  # seconds; the broker sends every half of it
OPEN_TIMEOUT = 10.0  # seconds for TCP, TLS and the handshake together
CLOSE_TIMEOUT = 2.0
BUFFER_MOST = 64 * 1024 * 1024  # bytes that the broker has not yet read; beyond, nothing more is accepted for writing

_CAPABILITIES = dict.fromkeys(
    ("publisher_confirms", "basic.nack", "consumer_cancel_notify", "connection.blocked", "authentication_failure_close"),
    True,
)


async def connect(broker: BrokerUrl, *, name: str, heartbeat: int = HEARTBEAT) -> Connection:
    """Open a connection. Raises Unavailable, with the broker's words where it spoke."""
    connection = Connection(broker, name, heartbeat)
    context = ssl.create_default_context() if broker.tls else None
    try:
        async with asyncio.timeout(OPEN_TIMEOUT):
            await asyncio.get_running_loop().create_connection(lambda: connection, broker.host, broker.port, ssl=context)
            await connection.opened()
    except TimeoutError:
        connection.abort(f"no AMQP handshake within {OPEN_TIMEOUT:.0f} s")
        raise Unavailable(f"no AMQP handshake within {OPEN_TIMEOUT:.0f} s") from None
    except OSError as error:
        raise Unavailable(f"cannot connect: {error}") from error
    except BaseException:
        connection.abort("given up while it was opening")
        raise
    return connection


class Connection(asyncio.Protocol):
    """Made by `connect`."""

    def __init__(self, broker: BrokerUrl, name: str, heartbeat: int) -> None:
        loop = asyncio.get_running_loop()
        self.name = name
        self.frame_max = FRAME_MAX
        self.heartbeat = heartbeat
        self.last_heard = time.monotonic()
        """Monotonic time at which the broker was last heard."""
        self.blocked_why: str | None = None
        """The broker's reason while it has this connection blocked."""
        self.is_congested = False
        self.ended: asyncio.Future[str] = loop.create_future()
        """Why the connection ended."""
        self._broker = broker
        self._loop = loop
        self._opened: asyncio.Future[None] = loop.create_future()
        self._reader = frames.FrameReader(frames.FRAME_MIN)
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._channels: dict[int, Channel] = {}
        self._channel_max = CHANNEL_MAX
        self._beat: asyncio.TimerHandle | None = None
        self._has_written = False
        self._closed = loop.create_future()
        self._on_method: dict[int, Callable[[bytes], None]] = {
            methods.CONNECTION_START: self._start,
            methods.CONNECTION_TUNE: self._tune,
            methods.CONNECTION_OPEN_OK: self._open,
            methods.CONNECTION_CLOSE: self._close,
            methods.CONNECTION_CLOSE_OK: lambda _: self._end("closed by us"),
            methods.CONNECTION_BLOCKED: self._block,
            methods.CONNECTION_UNBLOCKED: self._unblock,
        }

    async def opened(self) -> None:
        """Return when the handshake is done. Raises Unavailable."""
        await asyncio.wait((self._opened, self.ended), return_when=asyncio.FIRST_COMPLETED)
        if self.ended.done():
            raise Unavailable(self.ended.result())

    @property
    def is_open(self) -> bool:
        """The handshake is done and the end not yet come."""
        return self._opened.done() and not self.ended.done()

    async def channel(self) -> Channel:
        """Open a channel. Raises Unavailable, ChannelClosed."""
        if not self.is_open:
            raise Unavailable("the connection has ended")
        number = next((n for n in range(1, self._channel_max + 1) if n not in self._channels), None)
        if number is None:
            raise Unavailable(f"all {self._channel_max} channels are in use")
        channel = self._channels[number] = Channel(self, number)
        await channel.call(methods.open_channel(), methods.CHANNEL_OPEN_OK)
        return channel

    def write(self, *data: bytes) -> None:
        """Send, with everything else that this turn of the loop has to send."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out += data

    def forget(self, number: int) -> None:
        """The channel's number may be used again."""
        self._channels.pop(number, None)

    async def close(self) -> None:
        """Say goodbye and end; a broker that does not answer is left. While blocked the broker reads nothing, so none is said."""
        if self.is_open and self.blocked_why is None:
            self.write(frames.method_frame(0, methods.close(methods.CONNECTION_CLOSE, 200, "done")))
            await asyncio.wait((self.ended,), timeout=CLOSE_TIMEOUT)
        self.abort("closed by us")
        if self._transport is not None:
            await asyncio.wait((self._closed,), timeout=CLOSE_TIMEOUT)

    def abort(self, why: str) -> None:
        """End at once."""
        self._end(why)
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        self._transport = socket = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        if self.ended.done():
            socket.abort()
            return
        socket.set_write_buffer_limits(high=BUFFER_MOST)
        socket.write(frames.PROTOCOL_HEADER)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._end(f"connection lost: {exc or 'closed by the broker'}")
        if not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        """The broker does not read what is sent."""
        self.is_congested = True

    def resume_writing(self) -> None:
        """It reads again."""
        self.is_congested = False

    def data_received(self, data: bytes) -> None:
        """Take what the broker sent."""
        self.last_heard = time.monotonic()
        try:
            for kind, number, payload in self._reader.feed(data):
                if number:
                    if (channel := self._channels.get(number)) is not None:
                        channel.take(kind, payload)
                elif kind == frames.METHOD and (act := self._on_method.get(methods.method_of(payload))) is not None:
                    act(payload)
        except (Malformed, struct.error, IndexError) as error:
            self.abort(f"not AMQP: {error}")

    def _start(self, _payload: bytes) -> None:
        client: Table = {"product": "ScaiSend", "platform": "Python", "connection_name": self.name, "capabilities": _CAPABILITIES}
        self.write(frames.method_frame(0, methods.start_ok(client, self._broker.user, self._broker.password)))

    def _tune(self, payload: bytes) -> None:
        channel_max, frame_max, heartbeat = methods.tune_of(payload)
        self._channel_max = min(channel_max or CHANNEL_MAX, CHANNEL_MAX)
        self.frame_max = self._reader.frame_max = min(frame_max or FRAME_MAX, FRAME_MAX)
        self.heartbeat = min(self.heartbeat or heartbeat, heartbeat or self.heartbeat)
        self.write(frames.method_frame(0, methods.tune_ok(self._channel_max, self.frame_max, self.heartbeat)))
        self.write(frames.method_frame(0, methods.open_vhost(self._broker.vhost)))
        self._schedule_beat()

    def _open(self, _payload: bytes) -> None:
        if not self._opened.done():
            self._opened.set_result(None)

    def _close(self, payload: bytes) -> None:
        code, text = methods.close_of(payload)
        if self._transport is not None:
            self._transport.write(frames.method_frame(0, methods.bare(methods.CONNECTION_CLOSE_OK)))
            self._transport.close()
        self._end(f"closed by the broker: {code} {text}")

    def _block(self, payload: bytes) -> None:
        self.blocked_why = methods.blocked_of(payload)

    def _unblock(self, _payload: bytes) -> None:
        self.blocked_why = None

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self._transport is not None and not self.ended.done():
            self._has_written = True
            self._transport.write(b"".join(out))

    def _schedule_beat(self) -> None:
        if self.heartbeat and not self.ended.done():
            due_at = time.monotonic() + self.heartbeat / 2
            self._beat = self._loop.call_later(self.heartbeat / 2, self._on_beat, due_at)

    def _on_beat(self, due_at: float) -> None:
        """Send a sign of life when nothing else was sent, and end when none came for two intervals."""
        now = time.monotonic()
        was_stalled = now - due_at > self.heartbeat / 2  # this process slept: what came meanwhile is not yet read
        if now - self.last_heard > 2 * self.heartbeat and not was_stalled:
            self.abort(f"no sign of life from the broker for {2 * self.heartbeat} s")
            return
        if not self._has_written and self._transport is not None:
            self._transport.write(frames.HEARTBEAT_FRAME)
        self._has_written = False
        self._schedule_beat()

    def _end(self, why: str) -> None:
        if self.ended.done():
            return
        self.ended.set_result(why)
        if self._beat is not None:
            self._beat.cancel()
        for channel in list(self._channels.values()):
            channel.end(Unavailable(why))
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()

    def __repr__(self) -> str:
        state = "ended" if self.ended.done() else "blocked" if self.blocked_why else "open" if self._opened.done() else "opening"
        return f"<Connection {self.name} {self._broker.host}:{self._broker.port} {state}, {len(self._channels)} channels>"
