"""One part of a MIME body: a text, or an attachment with its name (RFC 2045, 2183, 2231, 2392)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote

from scaisend_common.messages import Attachment
from scaisend_deliverer.extensions import Extensions
from scaisend_deliverer.headers import extended_parameter, quoted
from scaisend_deliverer.transfer_encoding import BASE64, EIGHT_BIT, SEVEN_BIT, encode_base64, encode_text, fits_as_it_is

_OCTETS = "application/octet-stream"
_ATOM = r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]"
_media_type = re.compile(rf"\s*({_ATOM}{{1,70}}/{_ATOM}{{1,70}})\s*(?:;(.*))?", re.DOTALL).fullmatch
_parameters = re.compile(rf';?\s*({_ATOM}{{1,40}})\s*=\s*(?:"([ !#-\[\]-~]{{0,200}})"|({_ATOM}{{1,200}}))').findall
_is_token = re.compile(rf"{_ATOM}+").fullmatch
_unsafe_in_names = re.compile(r"[\x00-\x1f\x7f-\x9f/\\\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]").sub  # controls, paths, bidi tricks
_not_ascii = re.compile(r"[^ -~]").sub
_MAX_PLAIN_NAME = 200
_MAX_FALLBACK = 60
_MAX_CONTENT_ID = 500


@dataclass(frozen=True, slots=True)
class Entity:
    """A MIME entity: its fields (name and folded value) and its encoded content."""

    fields: tuple[tuple[bytes, bytes], ...]
    content: bytes

    @property
    def header_block(self) -> bytes:
        """The fields as lines, without the empty line after them."""
        return b"".join([b"%b: %b\r\n" % field for field in self.fields])


def media_type_of(written: str) -> str:
    """Return `type/subtype` in lower case of what the sender wrote, without parameters; of nonsense, octets."""
    return _parse(written)[0]


def text_entity(media_type: str, text: str) -> Entity:
    """Return a text as an entity, in UTF-8 whatever charset its type named."""
    encoding, content = encode_text(text)
    return Entity(((b"Content-Type", _text_type(media_type)), (b"Content-Transfer-Encoding", encoding)), content)


def attachment_entity(attachment: Attachment, extensions: Extensions) -> Entity:
    """Return an attachment as an entity: its octets in base64, but a message as RFC 2046 5.2.1 has it: unencoded, or as mere octets."""
    kind, parameters = _parse(attachment.media_type)
    encoding = BASE64
    if kind.startswith("message/") and fits_as_it_is(attachment.content, eight_bit=extensions.eight_bit_mime):
        encoding = SEVEN_BIT if attachment.content.isascii() else EIGHT_BIT
    elif kind.startswith(("message/", "multipart/")):
        kind, parameters = _OCTETS, ()
    content = encode_base64(attachment.content) if encoding == BASE64 else attachment.content
    name = _unsafe_in_names("_", attachment.filename).strip()
    fallback = _fallback(name)
    plain_name = [f"name={quoted(fallback)}"] if name else []
    kept = [f"{key}={_value(value)}" for key, value in parameters if key != "name"]
    fields = [
        (b"Content-Type", _lines(kind, [*kept, *plain_name])),
        (b"Content-Transfer-Encoding", encoding),
        (b"Content-Disposition", _lines("inline" if attachment.inline else "attachment", _file_name(name, fallback))),
    ]
    if content_id := quote(_not_ascii("", attachment.content_id.strip("<> ")), safe="!#$%&'*+-/=^_`{|}~.@:,;()[]"):
        fields.append((b"Content-ID", f"<{content_id[:_MAX_CONTENT_ID]}>".encode()))
    return Entity(tuple(fields), content)


@lru_cache(1024)
def _text_type(written: str) -> bytes:
    kind, parameters = _parse(written)
    if kind.startswith(("multipart/", "message/")):
        kind, parameters = _OCTETS, ()
    kept = [f"{key}={_value(value)}" for key, value in parameters if key != "charset"]
    return _lines(kind, [*kept, "charset=utf-8"] if kind.startswith("text/") else kept)


@lru_cache(1024)
def _parse(written: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The media type and those of its parameters that are sound, each once."""
    match = _media_type(written)
    if match is None:
        return _OCTETS, ()
    found: list[tuple[str, str, str]] = _parameters(match[2] or "")
    return match[1].lower(), tuple(
        {key.lower(): in_quotes or token for key, in_quotes, token in found if "*" not in key and "=?" not in in_quotes}.items()
    )


def _value(value: str) -> str:
    return value if _is_token(value) else quoted(value)


def _lines(value: str, parameters: list[str]) -> bytes:
    """A value and its parameters, on lines of their own where one line is too short."""
    line = "; ".join([value, *parameters])
    return (line if len(line) <= 50 else ";\r\n ".join([value, *parameters])).encode()


def _fallback(name: str) -> str:
    """A file name for readers that know ASCII alone: itself where it can be, else the beginning and the extension.

    Many readers decode encoded words even here, so a name never looks like one.
    """
    if name.isascii() and len(name) <= _MAX_PLAIN_NAME and "=?" not in name:
        return name
    ascii_name = _not_ascii("_", name).replace("=?", "__")
    stem, dot, extension = ascii_name.rpartition(".")
    return f"{stem[:_MAX_FALLBACK]}.{extension[:20]}" if dot and stem else ascii_name[:_MAX_FALLBACK]


def _file_name(name: str, fallback: str) -> list[str]:
    """The full name first, since readers that know both take the first (RFC 2231), then the plain one."""
    plain = [f"filename={quoted(fallback)}"] if name else []
    return plain if name == fallback else [*extended_parameter("filename", name), *plain]
