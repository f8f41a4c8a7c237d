"""One connection to Redis that many share: a command is sent at once, and does not wait for the answers to those before it.

The library opens it (TLS, passwords, the database) and is then left out: a call through its pool and its time-outs takes 130 µs of the
processor, this 50. What fails on it fails with the library's exceptions.
"""

from __future__ import annotations

import asyncio
from collections import deque

from hiredis import PushNotification, Reader, pack_command
from redis._parsers import BaseParser
from redis.asyncio import Connection, ConnectionPool
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import TimeoutError as TooLate

Command = tuple[str | bytes | int, ...]


class Multiplexed:
    """Opened at the first call, and at the next one after it was lost. A call without an answer for `seconds` closes it for all."""

    def __init__(self, pool: ConnectionPool, seconds: float) -> None:
        self._pool = pool
        self._seconds = seconds
        self._opening = asyncio.Lock()
        self._opened: Connection | None = None
        self._answers: _Answers | None = None

    async def call(self, *command: str | bytes | int) -> object:
        """Send one command and return its answer. Lost on the way, the command was done or was not; it is never repeated."""
        answers = self._answers
        if answers is None or answers.is_over:
            answers = await self._open()
        return await answers.to(command)

    async def close(self) -> None:
        """Close it, if it is open; whoever waits for an answer gets none."""
        if self._opened is not None:
            opened, self._opened = self._opened, None
            await opened.disconnect(nowait=True)

    async def _open(self) -> _Answers:
        async with self._opening:
            if self._answers is not None and not self._answers.is_over:
                return self._answers
            await self.close()
            self._opened = self._pool.make_connection()  # type: ignore[no-untyped-call]
            await self._opened.connect()
            transport = self._opened._writer.transport  # type: ignore[union-attr]  # noqa: SLF001 - the library shows it nowhere else
            self._answers = _Answers(transport, self._seconds)
            return self._answers

    def __repr__(self) -> str:
        return f"<Multiplexed: {self._answers!r} over {self._opened!r}>"


class _Answers(asyncio.Protocol):
    """What comes back over one connection, in the order of the commands."""

    def __init__(self, transport: asyncio.WriteTransport, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._reader = Reader(replyError=BaseParser.parse_error)
        self._unanswered: deque[tuple[float, asyncio.Future[object]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._lost = False
        transport.set_protocol(self)

    @property
    def is_over(self) -> bool:
        """Nothing more can be sent."""
        return self._lost or self._transport.is_closing()

    def to(self, command: Command) -> asyncio.Future[object]:
        """Send a command; return the future of its answer."""
        future: asyncio.Future[object] = self._loop.create_future()
        self._unanswered.append((self._loop.time() + self._seconds, future))
        self._transport.write(pack_command(command))  # type: ignore[arg-type]
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._look)
        return future

    def data_received(self, data: bytes) -> None:
        """Give each answer to the first who waits."""
        self._reader.feed(data)
        while (answer := self._reader.gets()) is not False:
            if isinstance(answer, PushNotification):
                continue
            _, future = self._unanswered.popleft()
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all who wait."""
        self._lost = True
        self._fail(ConnectionLost(str(exc or "the connection to Redis was closed")))
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        """Give up a connection on which the first of those who wait has waited too long."""
        self._timer = None
        if not self._unanswered:
            return
        due_at, _ = self._unanswered[0]
        if due_at > self._loop.time():
            self._timer = self._loop.call_at(due_at, self._look)
            return
        self._fail(TooLate(f"no answer within {self._seconds} s"))
        self._transport.abort()

    def _fail(self, why: Exception) -> None:
        while self._unanswered:
            _, future = self._unanswered.popleft()
            if not future.done():
                future.set_exception(why)

    def __repr__(self) -> str:
        return f"<{len(self._unanswered)} unanswered>"
