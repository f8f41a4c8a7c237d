"""Gunzip within bounds (RFC 1952): what a few bytes stand for is not trusted. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

STEP = 1024 * 1024  # bytes given out at once
_GZIP = 31  # wbits: gzip's own header and checksum


class NotGzip(Exception):
    """The bytes are no gzip, or end too early."""


class Inflater:
    """Decompresses one stream, of one or more members."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)
        self._began = False

    def feed(self, compressed: bytes) -> Iterator[bytes]:
        """Yield what these bytes stand for, STEP at most at a time: the caller stops where it is too much. Raises NotGzip."""
        pending = compressed
        while pending:
            if self._member.eof:
                self._member = zlib.decompressobj(_GZIP)
            self._began = True
            try:
                yield self._member.decompress(pending, STEP)
            except zlib.error as error:
                raise NotGzip(str(error)) from error
            pending = self._member.unused_data if self._member.eof else self._member.unconsumed_tail

    def finish(self) -> None:
        """Raise NotGzip unless the last member is complete."""
        if not self._began or not self._member.eof:
            raise NotGzip("it ends too early")
