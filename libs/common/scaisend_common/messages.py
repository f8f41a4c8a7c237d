"""The wire messages: everything that crosses RabbitMQ, as types, one version byte, then MessagePack.

Unknown fields are ignored, so a consumer learns a field a release before producers write it. Bytes that do not decode raise
`Undecodable` (the message is parked); a version from the future raises `NewerVersion` (the consumer pauses and alarms).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

import msgspec

from scaisend_common.mail.address import Address, Mailbox
from scaisend_common.mail.events import Event, Origin
from scaisend_common.mail.ids import DeliveryId, SubmissionId

VERSION = 1
INLINE_LIMIT = 128 * 1024  # bytes of content above which it travels by reference (design.md section 2)


class Stream(StrEnum):
    """Streams never share a queue."""

    TRANSACTIONAL = "transactional"
    BULK = "bulk"


class BlobKey(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Where large content lies: unique by all three; its partition is the day of the submission's id."""

    tenant_id: str
    submission_id: SubmissionId
    n: int


class Part(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One body part: media type and text."""

    media_type: str
    text: str


class Attachment(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One attachment, decoded."""

    content: bytes
    filename: str
    media_type: str = "application/octet-stream"
    inline: bool = False
    content_id: str = ""


class Content(msgspec.Struct, frozen=True, gc=False, tag="inline", omit_defaults=True):
    """The bodies in the order text/plain, text/html, others, and the attachments."""

    parts: tuple[Part, ...]
    attachments: tuple[Attachment, ...] = ()


class ContentRef(msgspec.Struct, frozen=True, gc=False, tag="ref"):
    """Content stored as a blob: `encode(Content)` under `key`, `size` bytes."""

    key: BlobKey
    size: int


class Personalization(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One message of a submission: who receives it and what differs from the rest. Recipient indexes count to, cc, bcc through."""

    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...] = ()
    bcc: tuple[Mailbox, ...] = ()
    sender: Mailbox | None = None  # `from`, overriding the submission's
    subject: str | None = None
    headers: dict[str, str] = {}
    substitutions: dict[str, str] = {}
    custom_args: dict[str, str] = {}
    template_data: bytes = b""  # dynamic_template_data as JSON text
    send_at: int | None = None


class PersonalizationsRef(msgspec.Struct, frozen=True, gc=False, tag="personalizations_ref"):
    """The personalizations stored as a blob: `encode(Personalizations)`."""

    key: BlobKey
    count: int


class Personalizations(msgspec.Struct, frozen=True, gc=False, tag="personalizations"):
    """The personalizations of one submission, in its order."""

    items: tuple[Personalization, ...]


class Submission(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """One accepted `POST /v3/mail/send`. `settings` holds mail_settings, tracking_settings, asm and sections as JSON text, untouched."""

    submission_id: SubmissionId
    tenant_id: str
    stream: Stream
    accepted_at: float  # unix seconds
    api_key_id: str
    sender: Mailbox
    content: Content | ContentRef
    personalizations: Personalizations | PersonalizationsRef
    subject: str = ""
    reply_to: tuple[Mailbox, ...] = ()
    headers: dict[str, str] = {}
    categories: tuple[str, ...] = ()
    custom_args: dict[str, str] = {}
    send_at: int | None = None
    batch_id: str | None = None
    template_id: str | None = None
    asm_group_id: int | None = None
    ip_pool: str | None = None
    settings: bytes = b""
    repeat: bool = False  # published again under the same id (an idempotent retry): its deliveries meet the ledger first


class SubmissionBatch(msgspec.Struct, frozen=True, gc=False):
    """Submissions of one lane that were accepted at about the same time: the unit of `mail.submit`."""

    submissions: tuple[Submission, ...]


class Head(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """The headers of one message, as its recipients see them; substitutions are not yet applied."""

    sender: Mailbox
    to: tuple[Mailbox, ...]
    cc: tuple[Mailbox, ...] = ()
    reply_to: tuple[Mailbox, ...] = ()
    subject: str = ""
    headers: dict[str, str] = {}
    substitutions: dict[str, str] = {}
    settings: bytes = b""  # as Submission.settings
    template_data: bytes = b""
    ip_pool: str | None = None


class Job(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """One delivery to be attempted: the unit of `mail.deliver` and of `mail.later`."""

    delivery_id: DeliveryId
    tenant_id: str
    attempt: int  # the number that the next try has, from 1
    accepted_at: float
    routed_at: float  # unix seconds; older than the ledger's epoch means that a repeat is in doubt
    expires_at: float  # no attempt starts after it
    stream: Stream
    group: str
    source: str  # name of the egress source
    site: str  # name of the limit domain; the domain itself where no route was found
    shard: int
    rcpt: Address
    head: Head
    content: Content | ContentRef
    origin: Origin
    batch_id: str | None = None
    repeat: bool = False  # somebody may have tried this attempt already
    unknowns: int = 0  # attempts in doubt so far


class JobBatch(msgspec.Struct, frozen=True, gc=False):
    """Up to 25 jobs of one path and stream, acked when the slowest has ended."""

    jobs: tuple[Job, ...]


class WhyLater(StrEnum):
    """Why a job waits: a retry is a new attempt, the rest are the same one."""

    RETRY = "retry"
    SEND_AT = "send_at"
    OVERFLOW = "overflow"
    SUSPENDED = "suspended"
    CLAIMED = "claimed"  # another living deliverer holds the claim


class LaterItem(msgspec.Struct, frozen=True, gc=False):
    """A job that is due at `due_at` (unix seconds); unique by (delivery, attempt)."""

    due_at: float
    why: WhyLater
    job: Job


class LaterBatch(msgspec.Struct, frozen=True, gc=False):
    """What one publisher hands to the waiting room at once."""

    items: tuple[LaterItem, ...]


class EventBatch(msgspec.Struct, frozen=True, gc=False):
    """Events of one lane."""

    events: tuple[Event, ...]


class Heartbeat(msgspec.Struct, frozen=True, gc=False, tag="heartbeat"):
    """A deliverer of `group` lives; `leaving` when it gives its shards up."""

    group: str
    member: str
    leaving: bool = False


class Flush(msgspec.Struct, frozen=True, gc=False, tag="flush"):
    """Forget what is cached of a tenant: its keys, domains, DKIM keys, state."""

    tenant_id: str


class Line(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The jobs of one tenant and stream that a path has no room for: `rate` of them are worked off a second, all in `seconds`."""

    tenant_id: str
    stream: Stream
    rate: float
    seconds: float


class Lines(msgspec.Struct, frozen=True, gc=False, tag="lines"):
    """Who has no credit on a path: further jobs join the end of their line."""

    group: str
    source: str
    site: str
    lines: tuple[Line, ...]


Control = Heartbeat | Flush | Lines


class Undecodable(Exception):
    """The bytes are no message of the expected type."""


class NewerVersion(Exception):
    """The message was written by a newer release; it waits in its queue for one that can read it."""

    pauses_queue = True


T = TypeVar("T")
_encoder = msgspec.msgpack.Encoder()


def encode(message: msgspec.Struct) -> bytes:
    """Return the wire form of a message."""
    return b"\x01" + _encoder.encode(message)


def encode_part(message: msgspec.Struct) -> bytes:
    """Return the form that a message has within another."""
    return _encoder.encode(message)


def decoder(message_type: type[T]) -> Callable[[bytes], T]:
    """Return a decoder of one type or union, to be built once. It raises `Undecodable` or `NewerVersion`."""
    decode = msgspec.msgpack.Decoder(message_type).decode

    def decode_message(wire: bytes) -> T:
        if not wire:
            raise Undecodable("no bytes at all")
        if wire[0] > VERSION:
            raise NewerVersion(f"version {wire[0]}, and this release reads up to {VERSION}")
        try:
            return decode(memoryview(wire)[1:])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Undecodable(str(error)) from error

    return decode_message


_decode_batch = decoder(SubmissionBatch)
_decode_single = decoder(Submission)
decode_jobs = decoder(JobBatch)
decode_later = decoder(LaterBatch)
decode_events = decoder(EventBatch)
decode_control: Callable[[bytes], Control] = decoder(Control)  # type: ignore[arg-type]  # a union is no type[T] to mypy
decode_content = decoder(Content)
decode_personalizations = decoder(Personalizations)


def decode_submissions(wire: bytes) -> SubmissionBatch:
    """Decode a message of `mail.submit`; a submission by itself, as they were published once, is a batch of one. Raises as decoders do."""
    try:
        return _decode_batch(wire)
    except Undecodable as broken:
        try:
            return SubmissionBatch((_decode_single(wire),))
        except Undecodable:
            raise broken from None
