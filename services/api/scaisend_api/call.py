"""One HTTP request as a resource sees it: method, path, headers, and a body read within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from scaisend_api.inflate import Inflater, NotGzip

BODY_MOST = 31_457_280  # bytes after gunzip: SendGrid's 30 MB
LARGE = 1024 * 1024  # bytes from which on a body is large
BODY_SECONDS = 60.0
DRAIN_MOST = 64 * 1024 * 1024  # bytes, and seconds, for which a body that nobody wants is read and forgotten
DRAIN_SECONDS = 5.0

Message = MutableMapping[str, Any]  # ASGI's


class BodyTooLarge(Exception):
    """More than BODY_MOST."""


class BodyUnreadable(Exception):
    """Encoded in a way that it says, but is not; or that nobody here reads."""


class ClientGone(Exception):
    """The connection was lost before the body was there."""


@dataclass(slots=True)
class Call:
    """Header names are in lower case; of a header that occurs twice the last one counts."""

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    receive: Callable[[], Awaitable[Message]]
    _is_read: bool = field(default=False, init=False)

    def header(self, name: bytes) -> str:
        """Return a header's value; empty where there is none."""
        return self.headers.get(name, b"").decode("latin-1")

    @property
    def is_large(self) -> bool:
        """Whether the body is, or may turn out, large."""
        length = self._length()
        return length is None or length > LARGE or b"content-encoding" in self.headers

    async def body(self) -> bytes | bytearray:
        """Return the body, gunzipped where it says that it needs it.

        Raises BodyTooLarge as soon as that is known, BodyUnreadable, ClientGone, TimeoutError.
        """
        encoding = self.header(b"content-encoding").strip().lower()
        if encoding not in ("", "identity", "gzip"):
            raise BodyUnreadable(encoding)
        if (self._length() or 0) > BODY_MOST:
            raise BodyTooLarge
        async with asyncio.timeout(BODY_SECONDS):
            if encoding == "gzip":
                return await self._inflated()
            first, more = await self._receive()
            return await self._collected(first) if more else first

    async def drain(self) -> None:
        """Read and forget what is left of the body, within bounds.

        A client that is still writing, and asked for the connection to be closed, would see a reset instead of the answer.
        """
        if self._is_read or self.header(b"expect").lower() == "100-continue":  # which is written only when asked for
            return
        drained = 0
        with suppress(TimeoutError, ClientGone):
            async with asyncio.timeout(DRAIN_SECONDS):
                while not self._is_read and drained < DRAIN_MOST:
                    drained += len((await self._receive())[0])

    async def _collected(self, first: bytes) -> bytearray:
        collected = bytearray(first)
        more = True
        while more:
            if len(collected) > BODY_MOST:
                raise BodyTooLarge
            chunk, more = await self._receive()
            collected += chunk
        if len(collected) > BODY_MOST:
            raise BodyTooLarge
        return collected

    async def _inflated(self) -> bytearray:
        inflater, collected, more = Inflater(), bytearray(), True
        try:
            while more:
                chunk, more = await self._receive()
                for piece in inflater.feed(chunk):
                    collected += piece
                    if len(collected) > BODY_MOST:
                        raise BodyTooLarge
                    await asyncio.sleep(0)  # others have their turn while a bomb goes off
            inflater.finish()
        except NotGzip as error:
            raise BodyUnreadable(str(error)) from error
        return collected

    async def _receive(self) -> tuple[bytes, bool]:
        message = await self.receive()
        if message["type"] != "http.request":
            raise ClientGone
        more = message.get("more_body", False)
        self._is_read = not more
        return message.get("body", b""), more

    def _length(self) -> int | None:
        declared = self.headers.get(b"content-length", b"")
        return int(declared) if declared.isdigit() else None
