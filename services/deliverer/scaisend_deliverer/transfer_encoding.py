"""Content transfer encodings (RFC 2045 6): how the octets of a part travel, so that nothing on the way needs to change them.

All that is chosen here is 7-bit, whatever a server offers: a relay that re-encodes a signed mail breaks its signature (RFC 6376 5.3).
Lines end with CRLF and are 900 octets long at most. Blanks at their ends may be lost on the way: the signature does not cover them.
"""

from __future__ import annotations

import re
from binascii import b2a_base64, b2a_qp

from stringzilla import find

SEVEN_BIT = b"7bit"
EIGHT_BIT = b"8bit"
QUOTED_PRINTABLE = b"quoted-printable"
BASE64 = b"base64"

_MAX_PLAIN_LINE = 900  # below the 990 octets at which sendmail cuts lines, and with them signatures
_MAX_LINE = 998  # RFC 5322 2.1.1
_BASE64_LINE = 76
_BASE64_BLOCK = 57 * 1024  # octets encoded at a time, whole lines: blocks that fit the processor's cache
_from_line = re.compile(rb"^From (?=.{0,69}$)", re.MULTILINE).sub
_full_from_line = re.compile(rb"^From (?=.{70})", re.MULTILINE).sub  # two octets more would be too many: it is broken in two


def encode_text(text: str) -> tuple[bytes, bytes]:
    """Return (encoding, encoded octets) of a text in UTF-8. Its line ends, whatever they were, become CRLF; nothing else changes."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    raw = text.encode("utf-8", "replace")
    if text.isascii() and _is_plain(raw):
        return SEVEN_BIT, raw.replace(b"\n", b"\r\n")
    if (len(raw) - len(text)) * 11 > len(raw):  # continuation octets; from here on quoted-printable is longer than base64
        return BASE64, encode_base64(raw.replace(b"\n", b"\r\n"))
    quoted = b2a_qp(raw, istext=True)  # with LF alone: given CRLF it would break long lines with whichever it met first
    if quoted.startswith(b"From ") or b"\nFrom " in quoted:
        quoted = _full_from_line(b"=46rom=\n ", _from_line(b"=46rom ", quoted))
    return QUOTED_PRINTABLE, quoted.replace(b"\n", b"\r\n")


def encode_base64(raw: bytes) -> bytes:
    """Return octets as lines of base64, without a final line end. 22 MB take about 0.1 s: the caller minds the event loop."""
    return b"\r\n".join([_base64_block(raw[start : start + _BASE64_BLOCK]) for start in range(0, len(raw), _BASE64_BLOCK)])


def fits_as_it_is(raw: bytes, *, eight_bit: bool) -> bool:
    """Tell whether octets may travel unencoded: CRLF lines of at most 998 octets, no NUL, and 7-bit where the server asks for that."""
    bare = raw.replace(b"\r\n", b"")
    if b"\0" in raw or b"\r" in bare or b"\n" in bare or not (eight_bit or raw.isascii()):
        return False
    return max(map(len, raw.split(b"\r\n"))) <= _MAX_LINE


def _base64_block(raw: bytes) -> bytes:
    encoded = b2a_base64(raw, newline=False)
    return b"\r\n".join([encoded[start : start + _BASE64_LINE] for start in range(0, len(encoded), _BASE64_LINE)])


def _is_plain(raw: bytes) -> bool:
    """Whether ASCII in LF lines needs no encoding (RFC 2045 2.7, RFC 5322 3.5): lines that travel, no NUL, no mbox `From `."""
    has_from = raw.startswith(b"From ") or find(raw, b"\nFrom ") >= 0
    return not (has_from or b"\0" in raw or _has_long_line(raw))


def _has_long_line(raw: bytes) -> bool:
    """Whether an LF line is longer than may be; looks at one line end in each run of that many octets."""
    start = 0
    while len(raw) - start > _MAX_PLAIN_LINE:
        start = raw.rfind(b"\n", start, start + _MAX_PLAIN_LINE + 1) + 1
        if not start:
            return True
    return False
