"""The ids of a mail: made once, read everywhere.

A submission's id is 22 base64url characters of a 16-byte time-ordered id (UUIDv7, RFC 9562 5.7). A delivery's id is the submission's,
the index of its personalization and the index of its recipient in it (to, cc, bcc counted through), with dots between.
Everything else (`sg_message_id`, Message-ID, `sg_event_id`) is derived and can be read back.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import NewType

SubmissionId = NewType("SubmissionId", str)
DeliveryId = NewType("DeliveryId", str)

_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
_LENGTH = 22
_END_OF_TIME = (253_402_300_800_000).to_bytes(6)  # unix milliseconds of the year 10000, where datetime ends


def submission_id(now_ms: int, entropy: bytes) -> SubmissionId:
    """Return a new id of the instant `now_ms` (unix milliseconds); `entropy` is 10 random bytes."""
    if len(entropy) != 10:
        raise ValueError("a submission id takes 10 bytes of entropy")
    value = (now_ms & 0xFFFFFFFFFFFF) << 80 | int.from_bytes(entropy)
    value = value & ~(0xF << 76) | 0x7 << 76  # version 7
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant of RFC 9562
    return SubmissionId(urlsafe_b64encode(value.to_bytes(16))[:_LENGTH].decode())


def is_submission_id(text: str) -> bool:
    """Tell whether `text` has the form of a submission id, and an instant that `made_at` can tell."""
    return len(text) == _LENGTH and _ALPHABET.issuperset(text) and urlsafe_b64decode(text[:8]) < _END_OF_TIME


def made_at(submission: SubmissionId) -> datetime:
    """Return the instant that the id carries: the acceptance of the submission, to the millisecond."""
    return datetime.fromtimestamp(int.from_bytes(urlsafe_b64decode(submission[:8])) / 1000, UTC)


def delivery_id(submission: SubmissionId, personalization: int, recipient: int) -> DeliveryId:
    """Return the id of one recipient copy; both indexes count from 0 within their list."""
    return DeliveryId(f"{submission}.{personalization}.{recipient}")


def parse_delivery_id(text: str) -> tuple[SubmissionId, int, int] | None:
    """Return (submission, personalization, recipient), or None where `text` is no delivery id."""
    head, _, rest = text.partition(".")
    personalization, _, recipient = rest.partition(".")
    if not (is_submission_id(head) and _is_index(personalization) and _is_index(recipient)):
        return None
    return SubmissionId(head), int(personalization), int(recipient)


def submission_of(delivery: DeliveryId) -> SubmissionId:
    """Return the submission that a delivery belongs to."""
    return SubmissionId(delivery[:_LENGTH])


def sg_message_id(delivery: DeliveryId) -> str:
    """Return the id that SendGrid's users know: `<X-Message-Id>.recvd-scaisend-0-<hex time>-<hex personalization>.<recipient>`."""
    submission, personalization, recipient = delivery.split(".")
    at = int(made_at(SubmissionId(submission)).timestamp())
    return f"{submission}.recvd-scaisend-0-{at:X}-{int(personalization):X}.{recipient}"


def delivery_of_sg_message_id(text: str) -> DeliveryId | None:
    """Return the delivery that `sg_message_id` named so, or None."""
    parts = text.split(".")
    if len(parts) != 3 or not is_submission_id(parts[0]) or not _is_index(parts[2]):
        return None
    mark = parts[1].split("-")
    if len(mark) != 5 or mark[:3] != ["recvd", "scaisend", "0"] or not 0 < len(mark[4]) <= 3 or not set(mark[4]) <= set("0123456789ABCDEF"):
        return None
    return delivery_id(SubmissionId(parts[0]), int(mark[4], 16), int(parts[2]))


def message_id(delivery: DeliveryId, domain: str) -> str:
    """Return the Message-ID header value: unique for the delivery, the same at every attempt (RFC 5322 3.6.4)."""
    return f"<{delivery}@{domain}>"


def event_id(kind: str, attempt: int, delivery: DeliveryId) -> str:
    """Return `sg_event_id`: the same fact has the same id however often it is published."""
    return urlsafe_b64encode(f"{kind}-{attempt}-{delivery}".encode()).rstrip(b"=").decode()


def _is_index(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 4
