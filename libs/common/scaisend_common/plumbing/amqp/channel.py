"""One channel of a connection: a call at a time, content reassembled, confirms and deliveries handed on as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from scaisend_common.plumbing.amqp import frames, methods
from scaisend_common.plumbing.amqp.fields import Malformed
from scaisend_common.plumbing.amqp.settlement import Unavailable

CALL_TIMEOUT = 15.0  # seconds; a quorum queue may elect a leader meanwhile


class ChannelClosed(Exception):
    """The broker closed a channel: `code` is AMQP's (404 no such queue, 405 locked, 406 precondition), `text` its reason."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text


class Wire(Protocol):
    """What a channel needs of its connection."""

    frame_max: int

    def write(self, *data: bytes) -> None:
        """Send with what else this tick has to send."""

    def forget(self, number: int) -> None:
        """The channel is closed; its number may be used again."""

    def abort(self, why: str) -> None:
        """End the connection at once."""


class Channel:
    """Assign the `on_…` functions before the method that makes the broker use them is called; they must not raise."""

    def __init__(self, wire: Wire, number: int) -> None:
        self.number = number
        self.ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        """Why the channel ended: ChannelClosed, Unavailable (its connection did), or None: we closed it."""
        self.on_confirm: Callable[[int, bool, bool], None] = _ignore  # delivery tag, multiple, taken
        self.on_content: Callable[[int, bytes, bytes, bytes], None] = _ignore  # method, its payload, header's payload, body
        self.on_cancelled: Callable[[], None] = _ignore  # the broker cancelled the consumer
        self._wire = wire
        self._calling = asyncio.Lock()
        self._reply: tuple[int, asyncio.Future[bytes]] | None = None
        self._method = b""
        self._header = b""
        self._parts: list[bytes] = []
        self._missing = 0

    @property
    def is_open(self) -> bool:
        """Methods can be sent."""
        return not self.ended.done()

    def send(self, payload: bytes) -> None:
        """Send a method that has no reply; nothing happens on a channel that has ended."""
        if not self.ended.done():
            self._wire.write(frames.method_frame(self.number, payload))

    async def call(self, payload: bytes, reply: int) -> bytes:
        """Send a method and return its reply's payload. Raises ChannelClosed, Unavailable."""
        async with self._calling:
            self._raise_if_ended()
            future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            self._reply = reply, future
            self.send(payload)
            try:
                await asyncio.wait((future, self.ended), timeout=CALL_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._reply = None
            if not future.done() and not self.ended.done():  # what the broker makes of the channel is unknown from here on
                self._wire.abort(f"no answer from the broker within {CALL_TIMEOUT:.0f} s")
            if not future.done():
                self._raise_if_ended()
            return future.result()

    async def close(self) -> None:
        """Close the channel; what was not settled on it goes back to its queue. Quiet when it had ended already."""
        try:
            await self.call(methods.close(methods.CHANNEL_CLOSE), methods.CHANNEL_CLOSE_OK)
        except (ChannelClosed, Unavailable):
            return
        self.end(None)

    def end(self, why: Exception | None) -> None:
        """The channel is no more."""
        if not self.ended.done():
            self.ended.set_result(why)
            self._wire.forget(self.number)

    def take(self, kind: int, payload: bytes) -> None:
        """Take a frame of this channel. Raises Malformed."""
        if kind == frames.BODY:
            self._take_body(payload)
        elif kind == frames.HEADER:
            self._header = payload
            self._missing = methods.body_size_of(payload)
            if not self._missing:
                self._hand_on(b"")
        elif kind == frames.METHOD:
            self._take_method(methods.method_of(payload), payload)

    def _take_method(self, method: int, payload: bytes) -> None:
        if method in (methods.BASIC_DELIVER, methods.BASIC_RETURN):
            self._method = payload
        elif method in (methods.BASIC_ACK, methods.BASIC_NACK):
            tag, multiple = methods.confirm_of(payload)
            self.on_confirm(tag, multiple, method == methods.BASIC_ACK)
        elif self._reply is not None and method == self._reply[0]:
            if not self._reply[1].done():
                self._reply[1].set_result(payload)
        elif method == methods.CHANNEL_CLOSE:
            self.send(methods.bare(methods.CHANNEL_CLOSE_OK))
            self.end(ChannelClosed(*methods.close_of(payload)))
        elif method == methods.BASIC_CANCEL:
            self.on_cancelled()
        elif method == methods.CHANNEL_FLOW:  # RabbitMQ never asks for it; answered by the letter
            self.send(methods.bare(methods.CHANNEL_FLOW_OK) + payload[4:5])

    def _take_body(self, payload: bytes) -> None:
        self._missing -= len(payload)
        if self._missing > 0:
            self._parts.append(payload)
            return
        if self._missing < 0:
            raise Malformed("a body is longer than its header said")
        if self._parts:
            self._parts.append(payload)
            payload = b"".join(self._parts)
            self._parts.clear()
        self._hand_on(payload)

    def _hand_on(self, body: bytes) -> None:
        if not self._method:
            raise Malformed("content without a method")
        method, self._method = self._method, b""
        self.on_content(methods.method_of(method), method, self._header, body)

    def _raise_if_ended(self) -> None:
        if self.ended.done():
            raise self.ended.result() or Unavailable("the channel was closed by us")

    def __repr__(self) -> str:
        return f"<Channel {self.number} {'open' if self.is_open else 'ended'}>"


def _ignore(*_: object) -> None:
    pass
