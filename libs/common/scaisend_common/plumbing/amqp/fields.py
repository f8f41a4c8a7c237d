"""AMQP field tables, short and long strings: encoding and decoding.

STANDARDS: AMQP 0-9-1 section 4.2.5, with RabbitMQ's errata for the type letters (`s` is a 16 bit integer, `x` is bytes).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeAlias

FieldValue: TypeAlias = "bool | int | float | str | bytes | Decimal | datetime | Sequence[FieldValue] | Mapping[str, FieldValue] | None"
Table: TypeAlias = Mapping[str, FieldValue]

_NUMBERS = {
    ord(letter): struct.Struct(">" + code)
    for letter, code in {"b": "b", "B": "B", "s": "h", "u": "H", "I": "i", "i": "I", "l": "q", "L": "q", "f": "f", "d": "d"}.items()
}
_LONG = struct.Struct(">I")


class Malformed(Exception):
    """What the broker sent is not AMQP 0-9-1."""


def short_string(text: str) -> bytes:
    """Encode a short string; ValueError beyond 255 bytes."""
    raw = text.encode()
    if len(raw) > 255:
        raise ValueError(f"an AMQP short string has at most 255 bytes, not {len(raw)}: {text[:40]!r}…")
    return bytes((len(raw),)) + raw


def long_string(raw: bytes) -> bytes:
    """Encode a long string."""
    return _LONG.pack(len(raw)) + raw


def encode_table(table: Table) -> bytes:
    """Encode a field table. Raises ValueError for a number beyond 64 bits or a key beyond 255 bytes."""
    return long_string(b"".join(short_string(key) + _encode_value(value) for key, value in table.items()))


def _encode_value(value: FieldValue) -> bytes:
    match value:
        case bool():
            return b"t\x01" if value else b"t\x00"
        case int():
            return _encode_int(value)
        case str():
            return b"S" + long_string(value.encode())
        case bytes():
            return b"x" + long_string(value)
        case float():
            return b"d" + struct.pack(">d", value)
        case None:
            return b"V"
        case datetime():
            return b"T" + struct.pack(">Q", int(value.timestamp()))
        case Decimal():
            return _encode_decimal(value)
        case Mapping():
            return b"F" + encode_table(value)
        case _:
            return b"A" + long_string(b"".join(_encode_value(each) for each in value))


def _encode_int(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return b"I" + struct.pack(">i", value)
    if -(2**63) <= value < 2**63:
        return b"l" + struct.pack(">q", value)
    raise ValueError(f"an AMQP integer has at most 64 bits: {value}")


def _encode_decimal(value: Decimal) -> bytes:
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or not -255 <= exponent <= 0:
        raise ValueError(f"an AMQP decimal has 0 to 255 places: {value}")
    return b"D" + struct.pack(">Bi", -exponent, int(value.scaleb(-exponent)))


def decode_short_string(raw: bytes, at: int) -> tuple[str, int]:
    """Return the short string at `at` and where it ends."""
    end = at + 1 + raw[at] if at < len(raw) else at + 1
    if end > len(raw):
        raise Malformed("a short string runs past its frame")
    return raw[at + 1 : end].decode(errors="replace"), end


def decode_table(raw: bytes, at: int = 0) -> tuple[dict[str, FieldValue], int]:
    """Return the field table at `at` and where it ends. Raises Malformed."""
    try:
        return _table(raw, at)
    except (IndexError, struct.error, OverflowError, OSError, RecursionError) as error:
        raise Malformed(f"not a field table: {error}") from error


def _table(raw: bytes, at: int) -> tuple[dict[str, FieldValue], int]:
    at, end = _span(raw, at)
    table: dict[str, FieldValue] = {}
    while at < end:
        key, at = decode_short_string(raw, at)
        table[key], at = _value(raw, at)
    return table, _exactly(at, end)


def _value(raw: bytes, at: int) -> tuple[FieldValue, int]:
    letter, at = raw[at], at + 1
    if (number := _NUMBERS.get(letter)) is not None:
        value: FieldValue = number.unpack_from(raw, at)[0]
        return value, at + number.size
    match chr(letter):
        case "S" | "x":
            start, end = _span(raw, at)
            content = raw[start:end]
            return (content if letter == ord("x") else _text(content)), end
        case "t":
            return raw[at] != 0, at + 1
        case "F":
            return _table(raw, at)
        case "A":
            return _array(raw, at)
        case "T":
            return datetime.fromtimestamp(struct.unpack_from(">Q", raw, at)[0], UTC), at + 8
        case "D":
            places, digits = struct.unpack_from(">Bi", raw, at)
            return Decimal(digits).scaleb(-places), at + 5
        case "V":
            return None, at
        case other:
            raise Malformed(f"unknown field type {other!r}")


def _array(raw: bytes, at: int) -> tuple[list[FieldValue], int]:
    at, end = _span(raw, at)
    items: list[FieldValue] = []
    while at < end:
        item, at = _value(raw, at)
        items.append(item)
    return items, _exactly(at, end)


def _span(raw: bytes, at: int) -> tuple[int, int]:
    start = at + 4
    end = start + int(_LONG.unpack_from(raw, at)[0])
    if end > len(raw):
        raise Malformed("a field runs past its frame")
    return start, end


def _exactly(at: int, end: int) -> int:
    if at != end:
        raise Malformed("a table's or an array's content runs past its length")
    return end


def _text(content: bytes) -> str | bytes:
    """A long string is bytes by the letter of the specification and text by everybody's use."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content
