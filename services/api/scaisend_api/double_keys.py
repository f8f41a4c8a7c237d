"""Objects that have a key twice: two readers of such a request may disagree on what it says (RFC 8259 4). Pure.

Python's own reader is the only one at hand that shows every key. It takes 2 µs for 1 KB of text, so long texts that somebody has found
already are left out of what it reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from json import JSONDecoder

LONG = 1024  # bytes from which on a text is worth leaving out
_BEGINNING = 32  # bytes of it that are searched for
_AFTER_VALUES = (b",", b"}", b"]")


def has_double_keys(body: bytes | bytearray, texts: Iterable[bytes]) -> bool:
    """Tell whether any object in `body`, which is JSON, has a key twice. `texts`: some strings in it as they are written there.

    Raises UnicodeDecodeError for what is no UTF-8, RecursionError for what is nested too deeply.
    """
    return _repeats(_without(body, texts)) and _repeats(body)


def _without(body: bytes | bytearray, texts: Iterable[bytes]) -> bytes:
    """The body with empty strings instead of long texts, as far as they are found.

    What is found begins and ends with a quote and has none inside. Where it is no value, nor the end of one, but reaches from the end of
    one string to the beginning of another, what is left is no JSON, and so counts as doubtful. A key stays: no comma or bracket follows it.
    """
    pieces: list[bytes | bytearray] = []
    at = 0
    for text in texts:
        if len(text) >= LONG and (start := body.find(text[:_BEGINNING], at)) >= 0:
            end = start + len(text)
            if body[start:end] == text and body[end : end + 1] in _AFTER_VALUES:
                pieces += (body[at:start], b'""')
                at = end
    return b"".join((*pieces, body[at:]))


def _repeats(body: bytes | bytearray) -> bool:
    try:
        _look_through(body.decode())
    except UnicodeDecodeError:
        raise
    except ValueError:
        return True
    return False


def _no_double_keys(pairs: list[tuple[str, object]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key occurs twice")


_look_through = JSONDecoder(object_pairs_hook=_no_double_keys, parse_int=lambda _: 0, parse_float=lambda _: 0).decode
