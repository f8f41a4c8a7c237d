"""A bare SMTP client: says exactly what it is told, in exactly the flights that it is told."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress


class Client:
    """`say` writes one flight and returns as many replies as are asked for, lines joined by a bar."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, flight: bytes, replies: int = 1) -> list[str]:
        self.writer.write(flight)
        return [await self.reply() for _ in range(replies)]

    async def reply(self) -> str:
        lines = []
        while True:
            line = (await asyncio.wait_for(self.reader.readuntil(b"\r\n"), 20)).decode().removesuffix("\r\n")
            lines.append(line)
            if line[3:4] != "-":
                return "|".join(lines)

    async def envelope(self, to: str, sender: str = "a@demo.test") -> None:
        """Say all up to DATA's 354, and expect success."""
        assert (await self.say(f"MAIL FROM:<{sender}>\r\n".encode()))[0].startswith("250")
        assert (await self.say(f"RCPT TO:<{to}>\r\n".encode()))[0].startswith("250")
        assert (await self.say(b"DATA\r\n"))[0].startswith("354")

    async def start_tls(self) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        await self.writer.start_tls(context)


@asynccontextmanager
async def client(address: str, port: int, *, hello: bool = True) -> AsyncIterator[Client]:
    """Connect, read the banner and say EHLO."""
    reader, writer = await asyncio.open_connection(address, port)
    try:
        peer = Client(reader, writer)
        assert (await peer.reply()).startswith("220 ")
        if hello:
            assert (await peer.say(b"EHLO client.test\r\n"))[0].startswith("250-")
        yield peer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until something that nobody tells us holds."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - a file or another process: there is no event
            await asyncio.sleep(0.01)
