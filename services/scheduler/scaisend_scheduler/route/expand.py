"""Expansion: a submission becomes messages, a message becomes deliveries (contract section 3). Pure.

One personalization is one message: its recipients share headers and content, those of `bcc` unseen. What a personalization says
overrides the submission: sender, subject, send_at whole, headers by name (in any case, RFC 5322 1.2.2), custom_args by key.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from scaisend_common.mail.address import Address
from scaisend_common.mail.events import Origin
from scaisend_common.mail.ids import DeliveryId, delivery_id
from scaisend_common.messages import Content, ContentRef, Head, Personalization, Personalizations, Stream, Submission

LIFETIME = 72 * 3600.0  # seconds from acceptance, or from send_at, in which attempts may start (SendGrid's three days)


class Message(msgspec.Struct, frozen=True, gc=False):  # a Struct for its speed: with frozen dataclasses expansion took four times as long
    """What all recipients of one personalization share. `send_at` in unix seconds."""

    tenant_id: str
    stream: Stream
    accepted_at: float
    expires_at: float
    head: Head
    origin: Origin
    content: Content | ContentRef
    batch_id: str | None
    send_at: int | None
    repeat: bool


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """One recipient's copy of a message."""

    delivery_id: DeliveryId
    rcpt: Address
    message: Message


def expand(submission: Submission, personalizations: Personalizations, *, repeat: bool) -> Iterator[Delivery]:
    """Yield the deliveries in the order of the request. `repeat`: somebody may have expanded this submission before."""
    for number, personalization in enumerate(personalizations.items):
        message = message_of(submission, personalization, repeat=repeat or submission.repeat)
        for index, mailbox in enumerate((*personalization.to, *personalization.cc, *personalization.bcc)):
            yield Delivery(delivery_id(submission.submission_id, number, index), mailbox.address, message)


def message_of(submission: Submission, own: Personalization, *, repeat: bool) -> Message:
    """Return the message that one personalization makes of the submission."""
    sender = own.sender or submission.sender
    subject = submission.subject if own.subject is None else own.subject
    send_at = submission.send_at if own.send_at is None else own.send_at
    return Message(
        tenant_id=submission.tenant_id,
        stream=submission.stream,
        accepted_at=submission.accepted_at,
        expires_at=max(submission.accepted_at, send_at or 0) + LIFETIME,
        head=Head(
            sender=sender,
            to=own.to,
            cc=own.cc,
            reply_to=submission.reply_to,
            subject=subject,
            headers=merge_headers(submission.headers, own.headers),
            substitutions=own.substitutions,
            settings=submission.settings,
            template_data=own.template_data,
            ip_pool=submission.ip_pool,
        ),
        origin=Origin(
            from_email=str(sender.address),
            subject=subject,
            categories=submission.categories,
            custom_args=submission.custom_args | own.custom_args,
            asm_group_id=submission.asm_group_id,
            template_id=submission.template_id,
            api_key_id=submission.api_key_id,
            send_at=send_at,
            stream=submission.stream.value,
        ),
        content=submission.content,
        batch_id=submission.batch_id,
        send_at=send_at,
        repeat=repeat,
    )


def merge_headers(common: dict[str, str], own: dict[str, str]) -> dict[str, str]:
    """Return `own` over `common`; a name counts as the same in any case, and appears as `own` writes it."""
    if not own or not common:
        return own or common
    taken = {name.lower() for name in own}
    return {name: value for name, value in common.items() if name.lower() not in taken} | own
