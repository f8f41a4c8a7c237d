"""The shape of a mail/send request that has no mistake of type: what the first pass decodes into. Unknown keys are ignored.

A field that is null, or of another type, does not decode, but for Raw ones, which are decoded when they are used; absent ones are UNSET
where absence is not the same as emptiness.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, UnsetType

Texts = dict[str, str]


class MailboxShape(msgspec.Struct, gc=False):
    """`{"email", "name"}`."""

    email: str
    name: str = ""


class PersonalizationShape(msgspec.Struct):
    """One personalization."""

    to: list[MailboxShape]
    cc: list[MailboxShape] = []
    bcc: list[MailboxShape] = []
    sender: MailboxShape | UnsetType = msgspec.field(name="from", default=UNSET)
    subject: str | UnsetType = UNSET
    headers: Texts = {}
    substitutions: Texts = {}
    dynamic_template_data: Raw | UnsetType = UNSET
    custom_args: Texts = {}
    send_at: int | UnsetType = UNSET


class BlockShape(msgspec.Struct, gc=False):
    """One content block."""

    type: str
    value: Raw  # a text as JSON writes it: `decode_text` reads it


class AttachmentShape(msgspec.Struct, gc=False):
    """One attachment; its content is base64, decoded here: nothing but its alphabet and due padding is accepted."""

    content: bytes
    filename: str
    type: str | UnsetType = UNSET
    disposition: str = "attachment"
    content_id: str = ""


class RequestShape(msgspec.Struct):
    """The whole request."""

    personalizations: list[PersonalizationShape]
    sender: MailboxShape = msgspec.field(name="from")
    reply_to: MailboxShape | UnsetType = UNSET
    reply_to_list: list[MailboxShape] | UnsetType = UNSET
    subject: str | UnsetType = UNSET
    content: list[BlockShape] = []
    attachments: list[AttachmentShape] = []
    template_id: str | UnsetType = UNSET
    headers: Texts = {}
    categories: list[str] = []
    custom_args: Texts = {}
    send_at: int | UnsetType = UNSET
    sections: Texts | UnsetType = UNSET
    mail_settings: Raw | UnsetType = UNSET
    tracking_settings: Raw | UnsetType = UNSET
    batch_id: Raw | UnsetType = UNSET
    asm: Raw | UnsetType = UNSET
    ip_pool_name: Raw | UnsetType = UNSET


decode_shape = msgspec.json.Decoder(RequestShape).decode
decode_text = msgspec.json.Decoder(str).decode
