"""Load: HTTP requests over keep-alive connections, closed or open loop, and SMTP injection for the peers. As cheap as Python can be."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import cast


@dataclass(slots=True)
class Answers:
    """What came back: count by status, seconds from the intended instant to the answer, the span of the run, how many 503 were obeyed."""

    by_status: dict[int, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    first_at: float = 0.0
    last_at: float = 0.0
    put_off: int = 0

    @property
    def accepted(self) -> int:
        """Requests answered 202."""
        return self.by_status.get(202, 0)


def http_request(host: str, key: str, body: bytes) -> bytes:
    """The bytes of one POST /v3/mail/send."""
    head = (
        f"POST /v3/mail/send HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Client(asyncio.Protocol):
    """One connection: a request, its answer, the next."""

    def __init__(self, load: HttpLoad) -> None:
        self._load = load
        self._buffer = b""
        self._request = b""
        self._due = 0.0
        self.busy = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop has classes of its own
        self.transport = transport

    def send(self, request: bytes, due: float) -> None:
        assert self.transport
        self.busy = True
        self._request, self._due = request, due
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        at = lower.find(b"content-length:")
        length = int(lower[at + 15 : (lower + b"\r\n").find(b"\r\n", at)]) if at >= 0 else 0
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        status = int(head[9:12])
        if status == 503 and self._load.patient:  # it is not taken: the connection brings the same again when it was told to
            self._load.answers.put_off += 1
            found_at = lower.find(b"retry-after:")
            asyncio.get_running_loop().call_later(float(lower[found_at + 12 :].split(b"\r\n")[0]), self.send, self._request, self._due)
            return
        self.busy = False
        self._load.answered(self, status, self._due)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self.busy:
            self.busy = False
            self._load.answered(self, 0, self._due)


class HttpLoad:
    """Sends requests over `connections`; closed loop as fast as answers come, open loop at fixed instants. `patient`: obeys Retry-After."""

    def __init__(self, host: str, port: int, connections: int, *, patient: bool = False) -> None:
        self.patient = patient
        self._host, self._port, self._connections = host, port, connections
        self._clients: list[_Client] = []
        self._idle: deque[_Client] = deque()
        self._waiting: deque[tuple[bytes, float]] = deque()
        self._requests: Iterator[bytes] = iter(())
        self._done = asyncio.Event()
        self._open = False
        self.answers = Answers()

    async def __aenter__(self) -> HttpLoad:
        loop = asyncio.get_running_loop()
        for _ in range(self._connections):
            _, client = await loop.create_connection(lambda: _Client(self), self._host, self._port)
            self._clients.append(client)
        return self

    async def __aexit__(self, *exc: object) -> None:
        for client in self._clients:
            if client.transport:
                client.transport.close()

    async def closed(self, requests: Iterator[bytes]) -> Answers:
        """Send all `requests`, one in flight a connection."""
        self._requests = requests
        self.answers.first_at = perf_counter()
        for client in self._clients:
            self._next(client)
        await self._done.wait()
        return self.answers

    async def open(self, requests: Iterator[bytes], rate: float) -> Answers:
        """Send `requests` at `rate` a second, whatever the answers do; latency counts from the intended instant."""
        self._open = True
        self._idle.extend(self._clients)
        begun = self.answers.first_at = perf_counter()
        for n, request in enumerate(requests):
            due = begun + n / rate
            if (wait := due - perf_counter()) > 0.001:
                await asyncio.sleep(wait)
            if self._idle:
                self._idle.popleft().send(request, due)
            else:
                self._waiting.append((request, due))
        self._open = False
        while any(client.busy for client in self._clients):  # noqa: ASYNC110 - the end of a run, not its path
            await asyncio.sleep(0.01)
        return self.answers

    def answered(self, client: _Client, status: int, due: float) -> None:
        """Note an answer and give the connection its next request."""
        now = perf_counter()
        self.answers.by_status[status] = self.answers.by_status.get(status, 0) + 1
        self.answers.seconds.append(now - due)
        self.answers.last_at = now
        if self._open or self._waiting:
            if self._waiting:
                client.send(*self._waiting.popleft())
            else:
                self._idle.append(client)
        else:
            self._next(client)

    def _next(self, client: _Client) -> None:
        request = next(self._requests, None)
        if request is not None:
            client.send(request, perf_counter())
        elif not any(each.busy for each in self._clients):
            self._done.set()


async def inject_smtp(host: str, port: int, sender: str, mails: Iterator[tuple[str, bytes]], sessions: int = 20) -> int:
    """Hand (recipient, mime) pairs to an MTA over `sessions` connections, one mail after the other on each; return the count."""
    counts = await asyncio.gather(*(_session(host, port, sender, mails) for _ in range(sessions)))
    return sum(counts)


async def _session(host: str, port: int, sender: str, mails: Iterator[tuple[str, bytes]]) -> int:
    reader, writer = await asyncio.open_connection(host, port)

    async def reply(expected: bytes) -> None:
        while (line := await reader.readline())[3:4] == b"-":
            pass
        if not line.startswith(expected):
            raise RuntimeError(f"the peer said {line!r}")

    await reply(b"220")
    writer.write(b"EHLO bench.test\r\n")
    await reply(b"250")
    count = 0
    for recipient, mime in mails:
        writer.write(f"MAIL FROM:<{sender}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n".encode())
        await reply(b"250")
        await reply(b"250")
        await reply(b"354")
        writer.write(mime.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        await reply(b"250")
        count += 1
    writer.write(b"QUIT\r\n")
    writer.close()
    return count
