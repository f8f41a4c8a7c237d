"""What a strict server finds wrong in a mail's octets: the faults that a lenient MX would hide from our tests. Pure.

STANDARDS: RFC 5321 2.3.8 (no bare CR or LF), 4.5.2 (dots), 4.5.3.1.6 (lines), RFC 6152 (8BITMIME), RFC 6531 and 6532 (SMTPUTF8).
"""

from __future__ import annotations

LONGEST_LINE = 998  # octets before CRLF


def fault(wire: bytes, *, eight_bit: bool, smtputf8: bool) -> str | None:
    """Return the refusal (a reply line) of content as it came, dots still stuffed, with its last CRLF; None where nothing is wrong."""
    lines = wire.count(b"\r\n")
    if wire.count(b"\n") != lines or wire.count(b"\r") != lines:
        return "550 5.6.0 Bare CR or LF in the mail"
    if b"\0" in wire:
        return "550 5.6.0 NUL in the mail"
    if wire.count(b"\r\n.") != wire.count(b"\r\n..") or (wire.startswith(b".") and not wire.startswith(b"..")):
        return "550 5.6.0 A line begins with an unstuffed dot"
    if not wire.isascii():
        if not eight_bit:
            return "550 5.6.1 8-bit content without BODY=8BITMIME"
        if not smtputf8 and not wire.partition(b"\r\n\r\n")[0].isascii():
            return "550 5.6.7 8-bit headers without SMTPUTF8"
    if max(map(len, wire.split(b"\r\n"))) > LONGEST_LINE and _has_long_line(wire):
        return "550 5.6.0 A line is longer than 998 octets"
    return None


def unstuff(wire: bytes) -> bytes:
    """Return the mail: content without the transparency dots (RFC 5321 4.5.2)."""
    return (wire[1:] if wire.startswith(b".") else wire).replace(b"\r\n..", b"\r\n.")


def _has_long_line(wire: bytes) -> bool:
    """Whether a line is too long without the dot that it was stuffed with."""
    return any(len(line) - line.startswith(b".") > LONGEST_LINE for line in wire.split(b"\r\n"))
