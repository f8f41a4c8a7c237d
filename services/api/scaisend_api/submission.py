"""A request becomes the submission that is published, its large parts by reference. Pure.

By reference goes what is larger than `INLINE_LIMIT`, and content whose copies for all deliveries together would be.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from scaisend_api.mail_request import MailRequest
from scaisend_common.mail.ids import SubmissionId
from scaisend_common.messages import (
    INLINE_LIMIT,
    BlobKey,
    Content,
    ContentRef,
    Personalizations,
    PersonalizationsRef,
    Stream,
    Submission,
    encode,
    encode_part,
)

SMALL = 1024  # bytes of content that are not worth a blob, whatever they are multiplied with
CONTENT_BLOB, PERSONALIZATIONS_BLOB = 0, 1


class Label(msgspec.Struct, frozen=True):
    """What we add to a request: whose it is, its id, when it was accepted (unix seconds), its stream; `repeat` as in Submission."""

    submission_id: SubmissionId
    tenant_id: str
    api_key_id: str
    accepted_at: float
    stream: Stream
    repeat: bool


@dataclass(frozen=True, slots=True)
class Blob:
    """Content to be stored before the submission that refers to it is published; `may_travel`: it may also go inline."""

    key: BlobKey
    content: bytes
    may_travel: bool


@dataclass(frozen=True, slots=True)
class Parcel:
    """A submission, encoded to be a part of a SubmissionBatch, and the blobs that it refers to."""

    encoded: bytes
    blobs: tuple[Blob, ...]


def parcel_of(request: MailRequest, label: Label) -> Parcel:
    """Return what is to be stored and published of a request."""
    personalizations = Personalizations(request.personalizations)
    if not _goes_by_reference(request):
        encoded = encode_part(_submission(request, label, request.content, personalizations))
        if len(encoded) <= INLINE_LIMIT:
            return Parcel(encoded, ())
    return _with_references(request, label, personalizations)


def inline_parcel_of(request: MailRequest, label: Label) -> Parcel:
    """Return a request in one piece, whatever the copies of its content will take."""
    return Parcel(encode_part(_submission(request, label, request.content, Personalizations(request.personalizations))), ())


def _goes_by_reference(request: MailRequest) -> bool:
    size = request.content_bytes
    return size > INLINE_LIMIT or (size > SMALL and size * request.recipients > INLINE_LIMIT and request.recipients > 1)


def _with_references(request: MailRequest, label: Label, personalizations: Personalizations) -> Parcel:
    blobs: list[Blob] = []
    content: Content | ContentRef = request.content
    if _goes_by_reference(request):
        key = BlobKey(label.tenant_id, label.submission_id, CONTENT_BLOB)
        blobs.append(Blob(key, encode(request.content), may_travel=request.content_bytes <= INLINE_LIMIT))
        content = ContentRef(key, len(blobs[-1].content))
    people: Personalizations | PersonalizationsRef = personalizations
    encoded = encode(personalizations)
    if len(encoded) > INLINE_LIMIT:
        key = BlobKey(label.tenant_id, label.submission_id, PERSONALIZATIONS_BLOB)
        blobs.append(Blob(key, encoded, may_travel=False))
        people = PersonalizationsRef(key, len(personalizations.items))
    return Parcel(encode_part(_submission(request, label, content, people)), tuple(blobs))


def _submission(
    request: MailRequest, label: Label, content: Content | ContentRef, personalizations: Personalizations | PersonalizationsRef
) -> Submission:
    return Submission(
        submission_id=label.submission_id,
        tenant_id=label.tenant_id,
        stream=label.stream,
        accepted_at=label.accepted_at,
        api_key_id=label.api_key_id,
        sender=request.sender,
        content=content,
        personalizations=personalizations,
        subject=request.subject,
        reply_to=request.reply_to,
        headers=request.headers,
        categories=request.categories,
        custom_args=request.custom_args,
        send_at=request.send_at,
        template_id=request.template_id,
        settings=request.settings,
        repeat=label.repeat,
    )
