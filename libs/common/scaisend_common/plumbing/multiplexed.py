"""One connection to Redis that many share: a command is sent at once, and does not wait for the answers to those before it.

The library opens it (TLS, passwords, the database) and is then left out: a call through its pool and its time-outs takes 130 µs of the
processor, this 50. What fails on it fails with the library's exceptions.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

from hiredis import PushNotification, Reader, pack_command
from redis._parsers import BaseParser
from redis.asyncio import Connection, ConnectionPool
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import TimeoutError as TooLate

FAREWELL = 1.0  # seconds for the end of a connection that is closed
_INCOMPLETE = object()


class Multiplexed:
    """Opened at the first call, and at the next one after it was lost. A call without an answer for `seconds` closes it for all."""

    def __init__(self, pool: ConnectionPool, seconds: float) -> None:
        self._pool = pool
        self._seconds = seconds
        self._opening: asyncio.Task[_Answers] | None = None
        self._opened: Connection | None = None
        self._answers: _Answers | None = None
        self._is_closed = False

    async def call(self, *command: str | bytes | int) -> object:
        """Send one command and return its answer. Lost on the way, the command was done or was not; it is never repeated."""
        packed = pack_command(command)  # type: ignore[arg-type]
        answers = self._answers
        if answers is None or answers.is_over:
            answers = await self._open_once()
        return await answers.to(packed)

    async def close(self) -> None:
        """Close it for good; whoever waits for an answer gets none."""
        self._is_closed = True
        if self._opening is not None:
            self._opening.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await self._opening
        await self._forget()
        if self._answers is not None:
            await self._answers.ended(FAREWELL)

    async def _open_once(self) -> _Answers:
        """Open it, once for all who call meanwhile: they share its failure too, instead of waiting for another one each."""
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(self._on_opened)
        opening = self._opening
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            if opening.cancelled():
                raise ConnectionLost("the client was closed") from None
            raise

    def _on_opened(self, opening: asyncio.Task[_Answers]) -> None:
        self._opening = None
        if not opening.cancelled():
            opening.exception()  # perhaps nobody waits for it any more

    async def _open(self) -> _Answers:
        if self._is_closed:
            raise ConnectionLost("the client was closed")
        await self._forget()
        connection: Connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._opened = connection
        transport = connection._writer.transport  # type: ignore[union-attr]  # noqa: SLF001 - the library shows it nowhere else
        self._answers = _Answers(transport, self._seconds)
        return self._answers

    async def _forget(self) -> None:
        """Let the library close what it opened."""
        if self._opened is not None:
            opened, self._opened = self._opened, None
            await opened.disconnect(nowait=True)

    def __repr__(self) -> str:
        return f"<Multiplexed: {self._answers!r} over {self._opened!r}>"


class _Answers(asyncio.Protocol):
    """What comes back over one connection, in the order of the commands."""

    def __init__(self, transport: asyncio.WriteTransport, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._reader = Reader(replyError=BaseParser.parse_error, notEnoughData=_INCOMPLETE)
        self._unanswered: deque[tuple[float, asyncio.Future[object]]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._lost = asyncio.Event()
        transport.set_protocol(self)

    @property
    def is_over(self) -> bool:
        """Nothing more can be sent."""
        return self._lost.is_set() or self._transport.is_closing()

    def to(self, packed: bytes) -> asyncio.Future[object]:
        """Send a packed command; return the future of its answer."""
        if self.is_over:  # lost between its opening and this
            raise ConnectionLost("the connection to Redis was closed")
        future: asyncio.Future[object] = self._loop.create_future()
        self._unanswered.append((self._loop.time() + self._seconds, future))
        self._transport.write(packed)
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._look)
        return future

    async def ended(self, patience: float) -> None:
        """Return when the connection, which is being closed, has ended."""
        try:
            async with asyncio.timeout(patience):
                await self._lost.wait()
        except TimeoutError:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Give each answer to the first who waits."""
        self._reader.feed(data)
        while (answer := self._reader.gets()) is not _INCOMPLETE:
            if isinstance(answer, PushNotification):
                continue
            if not self._unanswered:
                self._transport.abort()
                return
            _, future = self._unanswered.popleft()
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all who wait."""
        self._lost.set()
        self._fail(ConnectionLost, str(exc or "the connection to Redis was closed"))
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
        self._fail(TooLate, f"no answer within {self._seconds} s")
        self._transport.abort()

    def _fail(self, kind: type[Exception], why: str) -> None:
        while self._unanswered:
            _, future = self._unanswered.popleft()
            if not future.done():
                future.set_exception(kind(why))

    def __repr__(self) -> str:
        return f"<{len(self._unanswered)} unanswered>"
