"""The health server: /health (the loop turns), /ready (this service can do its work), /metrics (Prometheus text).

An HTTP/1.1 server of one page: GET only, no body, one request per connection, 4 KiB of head within 5 s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from enum import Enum

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

HEAD_BYTES = 4096
HEAD_SECONDS = 5.0


class Readiness(Enum):
    """What /ready says: 200, 200 with `degraded`, 503."""

    READY = "ready"
    DEGRADED = "degraded"
    NOT_READY = "not_ready"


Checks = Mapping[str, Callable[[], Readiness]]
Answer = tuple[str, str, bytes]  # status line, content type, body

JSON = "application/json"


def overall(states: Mapping[str, Readiness]) -> Readiness:
    """Return the worst of the states; ready where there is none."""
    for worst in (Readiness.NOT_READY, Readiness.DEGRADED):
        if worst in states.values():
            return worst
    return Readiness.READY


def answer(head: bytes, checks: Checks) -> Answer:
    """Return the answer to one request, given everything up to its blank line."""
    words = head.split(b"\r\n", 1)[0].split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        return "400 Bad Request", JSON, b'{"status":"bad request"}'
    method, target, _ = words
    if method not in (b"GET", b"HEAD"):
        return "405 Method Not Allowed", JSON, b'{"status":"method not allowed"}'
    match target.split(b"?", 1)[0]:
        case b"/health":
            return "200 OK", JSON, b'{"status":"ok"}'
        case b"/ready":
            states = {name: check() for name, check in checks.items()}
            status = overall(states)
            line = "503 Service Unavailable" if status is Readiness.NOT_READY else "200 OK"
            return line, JSON, msgspec.json.encode({"status": status, "checks": states})
        case b"/metrics":
            return "200 OK", CONTENT_TYPE_LATEST, generate_latest()
        case _:
            return "404 Not Found", JSON, b'{"status":"not found"}'


async def open_health_server(host: str, port: int, checks: Checks) -> asyncio.Server:
    """Listen on host and port (0: any)."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            line, content_type, body = answer(head, checks)
        except (asyncio.LimitOverrunError, asyncio.IncompleteReadError, TimeoutError, ConnectionError):
            head, (line, content_type, body) = b"", ("400 Bad Request", JSON, b'{"status":"bad request"}')
        fields = f"HTTP/1.1 {line}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        try:
            writer.write(fields.encode() + (b"" if head.startswith(b"HEAD ") else body))
            async with asyncio.timeout(HEAD_SECONDS):
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (ConnectionError, TimeoutError):
            writer.transport.abort()

    return await asyncio.start_server(serve, host, port, limit=HEAD_BYTES)
