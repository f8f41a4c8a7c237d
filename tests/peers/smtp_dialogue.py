"""A scripted SMTP server: a test writes down what the client says and what comes back, line by line.

    table = [
        ("220 mx.test ESMTP",),                                        # the banner: what is said before anything is heard
        (r"EHLO .*", "250-mx.test", "250-PIPELINING", "250 8BITMIME"),   # a pattern for the whole line, then what happens
        (r"MAIL FROM:<.*>.*", "250 2.1.0 OK"),
        (r"RCPT TO:<.*>.*", Delay(0.2), "451 4.3.0 Later"),
        ("DATA", "354 Go ahead"),
        (CONTENT, Drip("250 2.0.0 OK", pause=0.05)),                   # the mail up to its final dot
        ("QUIT", "221 Bye", Close()),
    ]                                                                  # other things to hear: Octets(5), HANG_UP
    async with SmtpPeer(table) as peer:
        …                          # connect to peer.host, peer.port
        await peer.done()          # every line of the table was played; raises what went otherwise
    assert peer.sessions[0].received == b"EHLO …"

A text is a reply line (CRLF is added; each is written at once, so several in one flight test the client's reading). Other verbs: `Raw` octets,
`Delay`, `Drip`, `Wait` for the test's `peer.go.set()`, `StartTls`, `Close` (FIN), `Reset` (RST). After the last line the peer closes.
Each further connection plays the next of several tables; where there are no more it plays the last again.
What the client said, to the octet, is in `received`; a line that no pattern expected ends the session and is in `surprises`.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

CONTENT = "<content>"
HANG_UP = "<hang up>"


@dataclass(frozen=True, slots=True)
class Octets:
    """Hear so many octets, whatever they are: to break off in the middle of a mail."""

    count: int


@dataclass(frozen=True, slots=True)
class Raw:
    """Write octets as they are."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Delay:
    """Stay silent for some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Drip:
    """Write a reply line octet by octet."""

    reply: str
    pause: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Stay silent until the test sets `peer.go`."""


@dataclass(frozen=True, slots=True)
class StartTls:
    """Shake hands as a server."""

    context: ssl.SSLContext


@dataclass(frozen=True, slots=True)
class Close:
    """End the connection in order."""


@dataclass(frozen=True, slots=True)
class Reset:
    """End the connection with an RST."""


Verb = str | Raw | Delay | Drip | Wait | StartTls | Close | Reset | Octets
Line = tuple[Verb, ...]  # what is heard (not in a banner), then what happens
Table = Sequence[Line]


class Surprise(AssertionError):
    """The client said, or did, what the table did not expect."""


@dataclass(slots=True)
class Session:
    """What one connection brought: `flights` are the octets as the reads returned them, `lines` the commands, `contents` the mails."""

    flights: list[bytes] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    is_over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def received(self) -> bytes:
        """Every octet, in order (after STARTTLS: as it was before encryption)."""
        return b"".join(self.flights)


class SmtpPeer:
    """Listens on a free port of `host` while its `async with` block runs."""

    def __init__(self, *tables: Table, host: str = "127.0.0.1", port: int = 0) -> None:
        assert tables, "a peer needs something to say"
        self._tables = tables
        self.host = host
        self.port = port
        self.sessions: list[Session] = []
        self.go = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> SmtpPeer:
        self._server = await asyncio.start_server(self._play, self.host, self.port, limit=2**26)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._server
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def done(self, *, sessions: int | None = None, within: float = 10) -> None:
        """Wait until so many sessions (one for each table unless told) are over. Raises Surprise when one did not go by its table."""
        count = len(self._tables) if sessions is None else sessions
        async with asyncio.timeout(within):
            while len(self.sessions) < count:  # noqa: ASYNC110 - the client comes when it comes
                await asyncio.sleep(0.005)
            for session in self.sessions[:count]:
                await session.is_over.wait()
        if surprises := [surprise for session in self.sessions for surprise in session.surprises]:
            raise Surprise("; ".join(surprises))

    async def _play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        session = Session()
        self.sessions.append(session)
        table = self._tables[min(len(self.sessions), len(self._tables)) - 1]
        player = _Player(reader, writer, session, self.go)
        try:
            await player.play(table)
        except (ConnectionError, ssl.SSLError) as error:
            session.surprises.append(f"the connection failed: {error!r}")
        except asyncio.CancelledError:
            pass  # the test is over
        finally:
            writer.close()
            session.is_over.set()
            self._tasks.discard(task)


class _Player:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, session: Session, go: asyncio.Event) -> None:
        self._reader = reader
        self._writer = writer
        self._session = session
        self._go = go
        self._buffer = bytearray()

    async def play(self, table: Table) -> None:
        for number, line in enumerate(table):
            banner = number == 0 and _is_banner(line)
            if not banner and not await self._hears(line[0]):
                return
            for verb in line if banner else line[1:]:
                await self._do(verb)
                if isinstance(verb, Close | Reset):
                    return

    async def _hears(self, expected: Verb) -> bool:
        match expected:
            case Octets(count):
                return self._note(expected, await self._take(count) is not None)
            case "<content>":
                content = await self._until(b"\r\n.\r\n", alone=b".\r\n")
                if content is not None:
                    self._session.contents.append(content)
                return self._note(expected, content is not None)
            case "<hang up>":
                rest = await self._take(1)
                return self._note(expected, rest is None, f"heard {bytes(self._buffer)!r}")
            case str():
                line = await self._until(b"\r\n")
                if line is None:
                    return self._note(expected, False)
                text = line.removesuffix(b"\r\n").decode("utf-8", "backslashreplace")
                self._session.lines.append(text)
                return self._note(expected, re.fullmatch(expected, text, re.IGNORECASE) is not None, f"heard {text!r}")
            case _:
                raise TypeError(f"a line of the table begins with what is heard, not with {expected!r}")

    def _note(self, expected: Verb, is_so: bool, instead: str = "the client hung up") -> bool:
        if not is_so:
            self._session.surprises.append(f"expected {expected!r}, but {instead}")
        return is_so

    async def _until(self, end: bytes, alone: bytes | None = None) -> bytes | None:
        """Take the octets up to and with `end`, or `alone` where they begin with that; None when the client hung up before."""
        searched = 0
        while not (alone and self._buffer.startswith(alone)):
            if (found := self._buffer.find(end, searched)) >= 0:
                return await self._take(found + len(end))
            searched = max(0, len(self._buffer) - len(end) + 1)
            if not await self._read():
                return None
        return await self._take(len(alone))

    async def _take(self, count: int) -> bytes | None:
        while len(self._buffer) < count:
            if not await self._read():
                return None
        heard = bytes(self._buffer[:count])
        del self._buffer[:count]
        return heard

    async def _read(self) -> bool:
        flight = await self._reader.read(2**20)
        if flight:
            self._session.flights.append(flight)
            self._buffer += flight
        return bool(flight)

    async def _do(self, verb: Verb) -> None:
        match verb:
            case str():
                await self._write(verb.encode() + b"\r\n")
            case Raw(octets):
                await self._write(octets)
            case Delay(seconds):
                await asyncio.sleep(seconds)
            case Drip(reply, pause):
                for octet in reply.encode() + b"\r\n":
                    await self._write(bytes([octet]))
                    await asyncio.sleep(pause)
            case Wait():
                await self._go.wait()
            case StartTls(context):
                await self._writer.start_tls(context)
            case Close():
                self._writer.close()
                with suppress(ConnectionError):
                    await self._writer.wait_closed()
            case Octets(count):
                await self._take(count)
            case Reset():
                peer: socket.socket = self._writer.get_extra_info("socket")
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # or the kernel would say FIN
                self._writer.transport.abort()

    async def _write(self, octets: bytes) -> None:
        self._writer.write(octets)
        await self._writer.drain()


def _is_banner(line: Line) -> bool:
    """Whether the first line of a table is said before anything is heard: a reply (or a verb that is none) stands first."""
    first = line[0]
    return re.match(r"[2-5]\d\d[ -]", first) is not None if isinstance(first, str) else not isinstance(first, Octets)
