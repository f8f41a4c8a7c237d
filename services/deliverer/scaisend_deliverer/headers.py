"""Header fields as octets (RFC 5322 2.2, 3.4; RFC 2047; RFC 2231; RFC 6532): built from text that may hold anything.

No value leaves here with a CR or LF but in a fold, a NUL or another control character, nor with an encoded word that hides one: Python's
own e-mail package wrote what such words decode to as lines of their own (CVE-2024-6923), and others may.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error
from binascii import a2b_qp, b2a_base64
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote

from scaisend_common.mail.address import Mailbox

_LINE = 78  # RFC 5322 2.1.1
_MAX_WORD = 900  # octets without a blank in one line; a line must not be longer than 998
_CHUNK = 39  # octets of text in an encoded word: with `Reply-To: ` before it, the line stays below RFC 2047's 76
_PIECE = 50  # octets of a continued parameter
_LONG_NAME = 70

_controls = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+").sub
_tokens = re.compile(r" *[^ ]+").findall
_needs_encoding = re.compile(rf"[^ -~]|=\?|[^ ]{{{_MAX_WORD}}}| {{60}}").search
_is_phrase = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*").fullmatch
_escape = re.compile(r'(["\\])').sub
_encoded_words = re.compile(r"=\?([^?\s]*)\?([bBqQ])\?([^?]*)\?=").findall
_CHARSET = "UTF-8''"
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def is_field_name(name: str) -> bool:
    """Tell whether this can name a header field (RFC 5322 2.2), and leaves room for a value in its line."""
    return 0 < len(name) <= _LONG_NAME and name.isascii() and name.isprintable() and " " not in name and ":" not in name


def unstructured(name: str, text: str) -> bytes:
    """Return the value of a field such as Subject; what is not printable ASCII as encoded words, also what looks like one."""
    text = _one_line(text)
    return fold(name, _encode_where_needed(text) if _needs_encoding(text) else text)


def as_written(name: str, text: str) -> bytes:
    """Return the value of a field that the sender wrote, who may have encoded it: sound encoded words stay, the rest as `unstructured`."""
    text = _one_line(text)
    if text.isascii() and "=?" in text and _hides_nothing(text) and not _needs_encoding(text.replace("=?", "")):
        return fold(name, text)
    return fold(name, _encode_where_needed(text) if _needs_encoding(text) else text)


def uris(name: str, text: str) -> bytes:
    """Return the value of a List-* field (RFC 2369 2): never an encoded word; other characters as a URI has them, percent-encoded.

    A URI too long for a line is folded inside, where RFC 2369 tells readers to ignore blanks.
    """
    ascii_text = quote(_one_line(text), safe=" !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
    words = [word[start : start + _MAX_WORD] for word in ascii_text.split() for start in range(0, len(word), _MAX_WORD)]
    return fold(name, " ".join(words))


def mailboxes(name: str, boxes: Iterable[Mailbox]) -> bytes:
    """Return the value of an address field. Non-ASCII local parts stay as they are: the caller asks whether they may."""
    return fold(name, ", ".join([mailbox(box) for box in boxes]))


def mailbox(box: Mailbox) -> str:
    """Return a mailbox as `address` or `name <address>`, the name as a phrase, a quoted string or encoded words."""
    name = _one_line(box.name) if box.name else ""
    if not name:
        return str(box.address)
    if len(name) > _LONG_NAME or _needs_encoding(name):
        return f"{_encode(name)} <{box.address}>"
    return f"{name} <{box.address}>" if _is_phrase(name) else f"{quoted(name)} <{box.address}>"


def quoted(text: str) -> str:
    """Return printable ASCII as a quoted string."""
    return '"' + _escape(r"\\\1", text) + '"'


def extended_parameter(name: str, value: str) -> list[str]:
    """Return a parameter of any text (RFC 2231 3, 4), in continuations where it is long."""
    encoded = quote(value, safe="", errors="replace")
    pieces: list[str] = []
    while encoded:
        end = min(_PIECE, len(encoded))
        cut = encoded.rfind("%", end - 2, end) if end < len(encoded) else -1
        end = cut if cut > 0 else end
        pieces.append(encoded[:end])
        encoded = encoded[end:]
    if len(pieces) == 1:
        return [f"{name}*={_CHARSET}{pieces[0]}"]
    return [f"{name}*{n}*={_CHARSET if n == 0 else ''}{piece}" for n, piece in enumerate(pieces)]


@lru_cache(64)
def date_value(at: datetime) -> bytes:
    """Return an instant as RFC 5322 3.3 writes it, in UTC, whatever the locale."""
    at = at if at.tzinfo is UTC else at.astimezone(UTC)
    day = f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year:04}"
    return f"{day} {at.hour:02}:{at.minute:02}:{at.second:02} +0000".encode()


def fold(name: str, value: str) -> bytes:
    """Return a value folded before blanks so that lines stay within 78 octets where they can; unfolding gives back `value` exactly."""
    if not value.isprintable():  # a last wall: callers give printable text
        value = _controls(" ", value)
    column = len(name) + 2
    if column + len(value) <= _LINE:
        return value.encode("utf-8", "replace")
    lines: list[str] = []
    line = ""
    for token in _tokens(value):
        if column + len(token) > _LINE and (line or len(token) < _LINE):
            lines.append(line)
            line = token if token[0] == " " else " " + token
            column = len(line)
        else:
            line += token
            column += len(token)
    return "\r\n".join([*lines, line]).encode("utf-8", "replace")


def _one_line(text: str) -> str:
    return text.strip(" ") if text.isprintable() else _controls(" ", text).strip(" ")


def _encode_where_needed(text: str) -> str:
    """Encode from the first word that needs it to the last one."""
    words = text.split(" ")
    needy = [index for index, word in enumerate(words) if _needs_encoding(word)]
    if not needy or " " * 60 in text:
        return _encode(text)
    first, last = needy[0], needy[-1] + 1
    return " ".join([*words[:first], _encode(" ".join(words[first:last])), *words[last:]])


def _encode(text: str) -> str:
    """Encoded words of at most 75 octets, each of whole characters (RFC 2047 5), in base64: the shorter one for most non-Latin text."""
    raw = text.encode("utf-8", "replace")
    words: list[str] = []
    start = 0
    while start < len(raw):
        end = min(start + _CHUNK, len(raw))
        while end < len(raw) and raw[end] & 0xC0 == 0x80:
            end -= 1
        words.append(f"=?utf-8?B?{b2a_base64(raw[start:end], newline=False).decode()}?=")
        start = end
    return " ".join(words)


def _hides_nothing(text: str) -> bool:
    """Whether every encoded word of a text is sound and decodes to printable text."""
    words: Sequence[tuple[str, str, str]] = _encoded_words(text)
    if len(words) != text.count("=?"):
        return False
    try:
        decoded = [_decode(charset, encoding, payload) for charset, encoding, payload in words]
    except (LookupError, UnicodeError, Base64Error, ValueError):
        return False
    return not any(_controls("", word) != word for word in decoded)


def _decode(charset: str, encoding: str, payload: str) -> str:
    raw = b64decode(payload, validate=True) if encoding in "bB" else a2b_qp(payload.encode(), header=True)
    return raw.decode(charset.partition("*")[0])
