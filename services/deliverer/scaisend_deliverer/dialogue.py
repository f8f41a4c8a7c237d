"""One SMTP connection as a dialogue: commands out, replies in, each wait bounded. It knows no transaction.

An asyncio.Protocol and not streams: 27 µs of CPU for a pipelined mail against 180 with aiosmtplib (measured).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from contextlib import suppress
from functools import lru_cache
from ipaddress import ip_address
from typing import cast

from scaisend_common.mail.reply import Malformed, Reply, parse_reply
from scaisend_deliverer.reply_lines import Lines, ReplyLines, TooLong

_NEVER = float("inf")
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)  # Linux has it
CHUNK = 256 * 1024  # octets of a large mail written before the server must have read some

_parse = lru_cache(maxsize=1024)(parse_reply)  # servers say `250 2.1.0 Ok` all day


class Broken(Exception):
    """The dialogue is over: connection lost, no reply in time, or nonsense instead of one. Its text says why."""


class Dialogue(asyncio.Protocol):
    """`deadline` (loop time) bounds every wait; whoever uses the dialogue sets it."""

    def __init__(self) -> None:
        self.deadline = _NEVER
        self.loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = ReplyLines()
        self._replies: deque[Lines] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = _NEVER
        self._too_late_at = _NEVER
        self._too_late = ""
        self._why_over = ""
        self._is_paused = False
        self.is_late = False
        """The connection was ended because a reply, or room for what was written, did not come in time."""
        self._closed: asyncio.Future[None] = self.loop.create_future()

    @property
    def is_quiet(self) -> bool:
        """The connection stands and the server has said nothing that it was not asked: fit for the next command."""
        return not self._why_over and not self._replies

    def local_ip(self) -> str:
        """The address that the server sees, as far as we know it."""
        name = self._transport.get_extra_info("sockname") if self._transport else None
        return str(ip_address(name[0].partition("%")[0])) if name else ""

    def send(self, *data: bytes) -> None:
        """Send, in one write; a connection that is lost already is noticed when its reply is waited for."""
        if self._transport is not None and not self._why_over:
            self._transport.writelines(data)

    async def send_all(self, data: memoryview, within: float) -> None:
        """Send what may be large, `within` seconds for each piece. Raises Broken, also where the server answers before the end."""
        for start in range(0, len(data), CHUNK):
            if self._why_over:
                raise Broken(self._why_over)
            if self._replies:
                raise Broken("the server answered before the end of the mail")
            assert self._transport is not None
            self._transport.write(data[start : start + CHUNK])
            if self._is_paused:
                await self._wait(within, "the server stopped reading")

    def acknowledge(self) -> None:
        """Acknowledge what has come now, and not only with what is sent next, or after 40 ms.

        A server that does not gather its replies holds the second back until the first is acknowledged (RFC 896, RFC 1122 4.2.3.2).
        """
        if _QUICKACK is not None and self._transport is not None and not self._why_over:
            with suppress(OSError):  # it is over: whoever waits for the reply will hear of it
                self._transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    async def lines(self, within: float) -> Lines:
        """Return the lines of the next reply. Raises Broken."""
        while not self._replies:
            if self._why_over:
                raise Broken(self._why_over)
            await self._wait(within, f"no reply within {within:g} s")
        return self._replies.popleft()

    async def reply(self, within: float) -> Reply:
        """Return the next reply. Raises Broken."""
        return self.understood(self._replies.popleft() if self._replies else await self.lines(within))

    def reply_at_hand(self) -> Reply | None:
        """Return a reply that came unasked, if there is one that can be read."""
        if not self._replies:
            return None
        parsed = _parse(self._replies.popleft())
        return parsed if isinstance(parsed, Reply) else None

    def understood(self, lines: Lines) -> Reply:
        """Return what lines say. Raises Broken."""
        parsed = _parse(lines)
        if isinstance(parsed, Malformed):
            self.abort(f"no SMTP reply: {parsed}")
            raise Broken(f"no SMTP reply: {parsed}")
        return parsed

    async def start_tls(self, context: ssl.SSLContext, host: str, within: float) -> str:
        """Change to TLS and return its version. Whatever came before the handshake is forgotten (CVE-2011-0411). Raises Broken."""
        assert self._transport is not None
        self._reader.discard()
        self._replies.clear()
        try:
            async with asyncio.timeout(min(within, self.deadline - self.loop.time())):
                transport = await self.loop.start_tls(self._transport, self, context, server_hostname=host)
        except (ssl.SSLError, OSError, TimeoutError, EOFError) as error:
            self.abort(f"TLS: {_said(error)}")
            raise Broken(f"TLS: {_said(error)}") from error
        if transport is None:
            raise Broken("TLS: the connection was lost in the handshake")
        self._transport = transport
        tls = transport.get_extra_info("ssl_object")
        return tls.version() or "" if tls else ""

    def abort(self, why: str) -> None:
        """End the connection at once."""
        self._end(why)
        if self._transport is not None:
            self._transport.abort()

    async def leave(self, within: float) -> None:
        """Say QUIT (RFC 5321 4.1.4) and wait until the connection is gone, for a moment; then end it."""
        self.send(b"QUIT\r\n")
        await asyncio.wait((self._closed,), timeout=within)
        self.abort("left")
        await asyncio.wait((self._closed,), timeout=within)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        transport = cast("asyncio.Transport", transport)  # uvloop has classes of its own
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take what the server says."""
        try:
            self._replies.extend(self._reader.feed(data))
        except TooLong as error:
            self.abort(str(error))
        if self._replies:
            self._wake()

    def eof_received(self) -> bool:
        """The server will say no more: the connection is over."""
        self._end("closed by the server")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._end(f"connection lost: {_said(exc)}" if exc else "closed by the server")
        if not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        """The server does not read as fast as we write."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """It has caught up."""
        self._is_paused = False
        self._wake()

    async def _wait(self, within: float, too_late: str) -> None:
        """Wait for whatever happens next on the connection."""
        assert self._waiter is None, "one at a time reads"
        waiter = self._waiter = self.loop.create_future()
        self._too_late_at, self._too_late = min(self.loop.time() + within, self.deadline), too_late
        if self._too_late_at < self._timer_at:
            self._set_timer()
        try:
            await waiter
        finally:
            self._too_late_at = _NEVER
            self._waiter = None

    def _set_timer(self) -> None:
        """One timer serves many waits: it is not moved for a later one, only looks again when it rings."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._too_late_at
        self._timer = self.loop.call_at(self._timer_at, self._ring)

    def _ring(self) -> None:
        self._timer, self._timer_at = None, _NEVER
        if self.loop.time() >= self._too_late_at:
            self.is_late = True
            self.abort(self._too_late)
        elif self._too_late_at < _NEVER:
            self._set_timer()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _end(self, why: str) -> None:
        self._why_over = self._why_over or why
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, _NEVER
        self._wake()

    def __repr__(self) -> str:
        return f"<Dialogue {self._why_over or 'open'}>"


def _said(error: BaseException | None) -> str:
    return str(error) or type(error).__name__
