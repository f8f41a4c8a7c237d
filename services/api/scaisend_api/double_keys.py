"""Objects that have a key twice: two readers of such a request may disagree on what it says (RFC 8259 4). Pure.

Python's own reader is the only one at hand that shows every key. It takes more than 1 µs for 1 KB of text, so long texts that somebody
has found already are left out of what it reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from json import JSONDecoder

LONG = 1024  # bytes from which on a text is worth leaving out
_BEGINNING = 32  # bytes of it that are searched for
_is_end_of_value = re.compile(rb"[ \t\r\n]*[,}\]]").match


def has_double_keys(body: bytes | bytearray, texts: Iterable[bytes]) -> bool:
    """Tell whether any object in `body`, which is JSON, has a key twice. `texts`: some values in it as they are written there, in order.

    What `texts` says is not looked at: whoever reads them checks that they are strings in UTF-8. Raises RecursionError for what is nested
    too deeply.
    """
    return _repeats(_without(body, texts)) and _repeats(body)


def _without(body: bytes | bytearray, texts: Iterable[bytes]) -> bytes:
    """The body with empty strings instead of long texts, up to the first that is not where it is looked for: else they could take long.

    A string that is found where a quote opens one is just that string; at an escaped quote it is the end of one. Where a quote closes one,
    what is left is no JSON, and so counts as doubtful. A key stays: no comma or bracket follows it.
    """
    pieces: list[bytes | bytearray] = []
    at = 0
    for text in texts:
        if len(text) < LONG:
            continue
        start = body.find(text[:_BEGINNING], at)
        end = start + len(text)
        if start < 0 or body[start:end] != text or _is_end_of_value(body, end) is None:
            break
        pieces += (body[at:start], b'""')
        at = end
    return b"".join((*pieces, body[at:]))


def _repeats(body: bytes | bytearray) -> bool:
    try:
        _look_through(body.decode())
    except ValueError:
        return True
    return False


def _no_double_keys(pairs: list[tuple[str, object]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key occurs twice")


_look_through = JSONDecoder(object_pairs_hook=_no_double_keys, parse_int=lambda _: 0, parse_float=lambda _: 0).decode
