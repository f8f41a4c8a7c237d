"""The beginning of a mail on its way in: what a report says stands before the mail that it quotes, so the rest is read and let go."""

from __future__ import annotations

from asyncio import LimitOverrunError, StreamReader

_DOT = b".\r\n"


class Beginning:
    """Stands before a connection's reader between 354 and the final dot; `size` counts all bytes that came, the dot's too.

    aiosmtpd keeps every line of a mail until its dot: a hundred mails of 10 MiB at once would be 2 GB.
    """

    def __init__(self, reader: StreamReader, kept: int) -> None:
        self._reader = reader
        self._kept = kept
        self._is_inside = False  # a line that is longer than the reader's limit
        self._owes_end = False  # of a line whose beginning was handed on: without it the next dot would be text
        self.size = 0

    async def readuntil(self, separator: bytes) -> bytes:
        """Return the next line to be kept, or the final dot. Raises LimitOverrunError where one is too long to be kept."""
        while True:
            try:
                piece = await self._reader.readuntil(separator)
            except LimitOverrunError as overrun:
                if self.size <= self._kept:
                    raise
                piece = await self._reader.read(overrun.consumed)
            is_dot = piece == _DOT and not self._is_inside
            self._take(piece)
            if is_dot or self.size <= self._kept or (self._owes_end and not self._is_inside):
                self._owes_end = False
                return piece

    async def read(self, size: int) -> bytes:
        """Return a part of a line that is too long."""
        piece = await self._reader.read(size)
        self._take(piece)
        self._owes_end = self._is_inside
        return piece

    def _take(self, piece: bytes) -> None:
        self.size += len(piece)
        self._is_inside = not piece.endswith(b"\r\n")
