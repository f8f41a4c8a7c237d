"""A reply of an SMTP server (RFC 5321 4.2, enhanced codes of RFC 3463 and RFC 2034)."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

_line = re.compile(rb"([2-5][0-9][0-9])(?:([ \t-])(.*))?", re.DOTALL).fullmatch
_enhanced = re.compile(r"([245])\.[0-9]{1,3}\.[0-9]{1,3}(?=[ \t]|$)").match
_controls = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]").sub


class Reply(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What a server said: `code` 200 to 599, `enhanced` such as `5.1.1` or empty, `text` of all lines joined by a space, as received."""

    code: int
    enhanced: str
    text: str

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)


class Malformed(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """No reply: `why` it is none, and what came, made printable."""

    why: str
    raw: str

    def __str__(self) -> str:
        return f"{self.why}: {self.raw}"


def is_last_line(line: bytes) -> bool:
    """Tell whether a reply ends with this line: all but `250-…` end it, malformed lines too, so that nobody waits for more."""
    return not (line[3:4] == b"-" and line[:3].isdigit())


def parse_reply(lines: Sequence[bytes]) -> Reply | Malformed:
    """Return the reply that the lines of one answer make up, with or without their line ends (a lone LF is tolerated).

    The code is the last line's; lines may differ in it as long as their first digit, on which alone we act, is the same (RFC 5321 4.2.1).
    """
    codes: list[bytes] = []
    texts: list[str] = []
    for index, line in enumerate(lines):
        match = _line(line.rstrip(b"\r\n"))
        if match is None:
            return Malformed("no reply code", _printable(b" ".join(lines)))
        if (match[2] == b"-") == (index == len(lines) - 1):
            return Malformed("lines out of order", _printable(b" ".join(lines)))
        codes.append(match[1])
        texts.append(_printable(match[3] or b""))
    if not codes:
        return Malformed("no reply", "")
    if len({code[0] for code in codes}) > 1:
        return Malformed("reply codes of different kinds", _printable(b" ".join(lines)))
    code = int(codes[-1])
    enhanced = next(filter(None, (_enhanced_code(text, code) for text in texts)), "")
    if enhanced:
        texts = [text[len(enhanced) :] if _enhanced_code(text, code) == enhanced else text for text in texts]
    return Reply(code, enhanced, " ".join(filter(None, (text.strip() for text in texts))))


def _enhanced_code(text: str, code: int) -> str:
    """The enhanced code that a line begins with, where its class is the reply's (RFC 2034 4); else it is a part of the text."""
    match = _enhanced(text)
    return match[0] if match and int(match[1]) == code // 100 else ""


def _printable(raw: bytes) -> str:
    """Text that can be logged and stored: Latin-1 where it is not UTF-8, control characters escaped (Postgres refuses a NUL)."""
    try:
        text = raw.rstrip(b"\r\n").decode()
    except UnicodeDecodeError:
        text = raw.rstrip(b"\r\n").decode("latin-1")
    return _controls(lambda match: f"\\x{ord(match[0]):02x}", text)
