"""As much MIME as reports need (RFC 2045, 2046), with bounds: what strangers send must cost little, whatever it holds.

The standard library's parser recurses as deep as a mail says and takes seconds for 20,000 addresses or encoded words; here depth, parts
and header bytes are capped, headers are bytes until somebody asks for one, and nothing raises.
"""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, a2b_qp
from collections.abc import Iterator
from dataclasses import dataclass

MAX_BYTES = 1024 * 1024  # of a mail that are read for a report
MAX_HEADER_BYTES = 64 * 1024
MAX_DEPTH = 8
MAX_PARTS = 64

_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_FOLD = re.compile(rb"\r?\n[ \t]+")
_PARAMETER = re.compile(r';\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;\s]*)')


@dataclass(frozen=True, slots=True)
class Entity:
    """A mail or a part of one: raw header block and raw body."""

    head: bytes
    body: bytes

    def header(self, name: str) -> str:
        """Return the first field of that name, unfolded, or the empty string."""
        return next(iter(self.headers(name)), "")

    def headers(self, name: str) -> list[str]:
        """Return every field of that name, unfolded, in order."""
        wanted = name.lower().encode() + b":"
        lines = _FOLD.sub(b" ", self.head).splitlines()
        return [_text(line[len(wanted) :]).strip() for line in lines if line[: len(wanted)].lower() == wanted]

    @property
    def media_type(self) -> str:
        """Type and subtype in lower case; text/plain where none is given (RFC 2045 5.2)."""
        return self.header("Content-Type").split(";")[0].strip().lower() or "text/plain"

    def parameter(self, name: str) -> str:
        """Return a parameter of Content-Type, unquoted, or the empty string."""
        for key, value in _PARAMETER.findall(self.header("Content-Type")):
            if key.lower() == name:
                return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
        return ""

    @property
    def decoded(self) -> bytes:
        """The body without its transfer encoding; as it is where the encoding is broken."""
        match self.header("Content-Transfer-Encoding").lower():
            case "base64":
                try:
                    return a2b_base64(self.body)
                except Base64Error:
                    return self.body
            case "quoted-printable":
                return a2b_qp(self.body)
            case _:
                return self.body

    @property
    def text(self) -> str:
        """The decoded body as text; bytes that are none are replaced."""
        return _text(self.decoded)


def parse(mail: bytes) -> Entity:
    """Split a mail into header block and body; what is beyond the bounds is not looked at."""
    mail = mail[:MAX_BYTES]
    if mail.startswith((b"\n", b"\r\n")):
        return Entity(b"", mail.lstrip(b"\r\n"))
    end = _BLANK_LINE.search(mail)
    if end is None:
        return Entity(mail[:MAX_HEADER_BYTES], b"")
    return Entity(mail[: min(end.start(), MAX_HEADER_BYTES)], mail[end.end() :])


def leaves(root: Entity) -> Iterator[Entity]:
    """Yield the parts that are no multipart, in order, up to MAX_PARTS; message/rfc822 and text/rfc822-headers are leaves."""
    waiting = [(root, 0)]
    seen = 0
    while waiting and seen < MAX_PARTS:
        entity, depth = waiting.pop()
        seen += 1
        boundary = entity.parameter("boundary")
        if entity.media_type.startswith("multipart/") and boundary and depth < MAX_DEPTH:
            waiting.extend((part, depth + 1) for part in reversed(_parts(entity.body, boundary)))
        else:
            yield entity


def field_groups(body: str) -> list[dict[str, str]]:
    """Read the `Name: value` groups of a delivery-status or feedback-report; names in lower case, the first of a name wins."""
    groups: list[dict[str, str]] = []
    for block in re.split(r"\r?\n[ \t]*\r?\n", body[:MAX_HEADER_BYTES]):
        group: dict[str, str] = {}
        for line in re.sub(r"\r?\n[ \t]+", " ", block).splitlines():
            name, colon, value = line.partition(":")
            if colon and " " not in name.strip():
                group.setdefault(name.strip().lower(), value.strip())
        if group:
            groups.append(group)
    return groups


def _parts(body: bytes, boundary: str) -> list[Entity]:
    mark = b"--" + boundary.encode("latin-1", "replace")
    pieces = re.split(rb"(?:^|\r?\n)" + re.escape(mark) + rb"(--)?[ \t]*(?=\r?\n|$)", body, maxsplit=MAX_PARTS * 2)
    parts = []
    for i in range(1, len(pieces), 2):  # pieces: preamble, closing mark or None, part, closing mark or None, part, …
        if pieces[i] is not None:
            break
        parts.append(parse(pieces[i + 1].removeprefix(b"\r").removeprefix(b"\n")))
    return parts


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
