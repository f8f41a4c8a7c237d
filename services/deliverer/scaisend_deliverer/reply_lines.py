"""The lines of a server's replies, gathered from whatever pieces TCP brings. No I/O.

A server may send endless lines or one line without end: both are bounded (RFC 5321 4.5.3.1.5 asks for 512 octets a line; some send more).
"""

from __future__ import annotations

from scaisend_common.mail.reply import is_last_line

MAX_LINE = 4096
MAX_REPLY = 64 * 1024

Lines = tuple[bytes, ...]


class TooLong(Exception):
    """A line or a reply is longer than anything that makes sense."""


class ReplyLines:
    """Feed it bytes; it gives back whole replies, each as its lines without line ends."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[Lines]:
        """Return the replies that these bytes complete. Raises TooLong."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE:
            raise TooLong(f"a reply line of more than {MAX_LINE} octets")
        replies: list[Lines] = []
        for raw in whole:
            line = raw.removesuffix(b"\r")
            self._size += len(raw) + 1
            if len(line) > MAX_LINE or self._size > MAX_REPLY:
                raise TooLong(f"a reply of more than {MAX_REPLY} octets, or a line of more than {MAX_LINE}")
            self._lines.append(line)
            if is_last_line(line):
                replies.append(tuple(self._lines))
                self._lines.clear()
                self._size = 0
        return replies

    def discard(self) -> bool:
        """Forget what is incomplete; tell whether there was anything."""
        had_rest = bool(self._rest or self._lines)
        self._rest, self._size = b"", 0
        self._lines.clear()
        return had_rest
