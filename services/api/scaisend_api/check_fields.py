"""Fields that a request has and each of its personalizations may have too: headers, custom_args, send_at. Rules over plain JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from scaisend_api import rules
from scaisend_api.json_value import Json, wrong_type
from scaisend_api.limits import HEADERS_BYTES, SEND_AT_SECONDS
from scaisend_api.problem import BAD_REQUEST, Problem, Rule

RESERVED: Final = frozenset(
    (
        *("x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type", "content-transfer-encoding"),
        *("to", "from", "subject", "reply-to", "cc", "bcc"),
    )
)
_NAME_LENGTH = 70  # a longer name leaves no room for a value in its line, and would be left out of the mail


class HeaderWords(NamedTuple):
    """What is said of a header; SendGrid's words differ between the common ones and a personalization's."""

    name: Rule
    reserved: Rule


COMMON: Final = HeaderWords(rules.HEADER_NAME, rules.HEADER_RESERVED)
OWN: Final = HeaderWords(rules.PERSONALIZATION_HEADER_NAME, rules.PERSONALIZATION_HEADER_RESERVED)


def check_headers(headers: Mapping[str, str] | Json, field: str, words: HeaderWords) -> Iterator[Problem]:
    """Yield the problems of headers. Their values may be any text: they are made safe where the mail is composed."""
    if not isinstance(headers, dict):
        yield wrong_type(headers, "object", field, words.name.anchor)  # type: ignore[arg-type]  # a Mapping that is no dict does not occur
        return
    if not are_texts(headers):
        yield BAD_REQUEST
        return
    if not all(map(_is_name, headers)):
        yield words.name.broken(field)
    if not RESERVED.isdisjoint(name.strip().lower() for name in headers):
        yield words.reserved.broken(field)
    if size_of(headers) > HEADERS_BYTES:
        yield rules.HEADERS_LARGE.broken(field, f"{HEADERS_BYTES:,}", anchor=words.name.anchor)


def check_send_at(send_at: Json, field: str, anchor: str, now: float) -> Iterator[Problem]:
    """Yield the problem of a send_at; one in the past means now."""
    if not isinstance(send_at, int) or isinstance(send_at, bool):
        yield rules.SEND_AT.broken(field, anchor=anchor)
    elif send_at > now + SEND_AT_SECONDS:
        yield rules.SEND_AT_FAR.broken(field, anchor=anchor)


def are_texts(object_: dict[str, Json]) -> bool:
    """Tell whether all values of an object are strings."""
    return all(isinstance(value, str) for value in object_.values())


def size_of(texts: dict[str, Json]) -> int:
    """Return the bytes that keys and values take; values that are no strings count nothing."""
    return sum(len(key.encode()) + (len(value.encode()) if isinstance(value, str) else 0) for key, value in texts.items())


def _is_name(name: str) -> bool:
    return 0 < len(name) <= _NAME_LENGTH and name.isascii() and name.isprintable() and " " not in name and ":" not in name
