"""The MIME body of a message, built directly as octets (RFC 2045 to 2049, RFC 2387).

    multipart/mixed                     where there are attachments
        multipart/alternative           where there are several texts: plain, AMP, HTML, the rest in the sender's order
            text/plain
            multipart/related           where HTML has inline images
                text/html
                image/png               Content-ID
        application/pdf                 Content-Disposition: attachment

The same content gives the same octets, so deliveries that share it may share its body too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from stringzilla import find

from scaisend_common.messages import Attachment, Content, Part
from scaisend_deliverer.compose_part import Entity, attachment_entity, media_type_of, text_entity
from scaisend_deliverer.extensions import Extensions
from scaisend_deliverer.substitution import substitute
from scaisend_deliverer.transfer_encoding import BASE64, QUOTED_PRINTABLE

Field = tuple[bytes, bytes]  # name and folded value

_ENCODED = [((b"Content-Transfer-Encoding", encoding),) for encoding in (BASE64, QUOTED_PRINTABLE)]
_PLAIN = "text/plain"
_AMP = "text/x-amp-html"
_HTML = "text/html"


@dataclass(frozen=True, slots=True)
class Body:
    """A body and the fields that describe it, Content-Type first. `content` ends with CRLF."""

    fields: tuple[Field, ...]
    content: bytes


def compose_body(content: Content, substitutions: Mapping[str, str], extensions: Extensions) -> Body:
    """Return the body of `content` for a server of these extensions, with the substitutions made in its texts.

    Without substitutions it depends on content and extensions alone and may be kept. Content over 1 MB belongs into a thread.
    """
    texts = _in_order(content.parts)
    entities = [text_entity(part.media_type, substitute(part.text, substitutions)) for part in texts]
    html = next((index for index, part in enumerate(texts) if media_type_of(part.media_type) == _HTML), None)
    mixed: list[Attachment] = []
    related: list[Attachment] = []
    for attachment in content.attachments:
        (related if html is not None and attachment.inline and attachment.content_id else mixed).append(attachment)
    if related and html is not None:
        entities[html] = _multipart(b"related", [entities[html], *(attachment_entity(each, extensions) for each in related)])
    top = entities[0] if len(entities) == 1 else _multipart(b"alternative", entities)
    if mixed:
        top = _multipart(b"mixed", [top, *(attachment_entity(each, extensions) for each in mixed)])
    return Body(top.fields, top.content if top.content.endswith(b"\r\n") else top.content + b"\r\n")


def _in_order(parts: Sequence[Part]) -> list[Part]:
    """The texts by rising richness (RFC 2046 5.1.4): the sender's order, but plain text first and AMP before HTML, as its readers ask."""
    rank = {_PLAIN: 0, _AMP: 1}
    return sorted(parts, key=lambda part: rank.get(media_type_of(part.media_type), 2)) or [Part(_PLAIN, "")]


def _multipart(subtype: bytes, entities: Sequence[Entity]) -> Entity:
    boundary = _boundary(subtype, entities)
    pieces: list[bytes] = []
    for entity in entities:
        pieces += (b"--", boundary, b"\r\n", entity.header_block, b"\r\n", entity.content, b"\r\n")
    parameter = b'; type="text/html"' if subtype == b"related" else b""
    fields = ((b"Content-Type", b"multipart/" + subtype + parameter + b';\r\n boundary="' + boundary + b'"'),)
    return Entity(fields, b"".join([*pieces, b"--", boundary, b"--\r\n"]))


def _boundary(subtype: bytes, entities: Sequence[Entity]) -> bytes:
    """A delimiter that occurs in no part (RFC 2046 5.1.1), the same for the same parts.

    `=_` never occurs in quoted-printable or base64, so only what is not encoded, or has parts of its own, is searched for it.
    """
    digest = blake2b(subtype, digest_size=16)
    for entity in entities:
        digest.update(b"%d:%b" % (len(entity.content), entity.content[:512]))
    searched = [entity.content for entity in entities if entity.fields[1:2] not in _ENCODED]
    while True:
        boundary = b"=_" + digest.hexdigest().encode()
        if all(find(content, boundary) < 0 for content in searched):
            return boundary
        digest.update(boundary)
