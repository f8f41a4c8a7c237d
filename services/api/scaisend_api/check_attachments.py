"""Attachments: their rules over plain JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from scaisend_api import rules
from scaisend_api.json_value import Json, wrong_type
from scaisend_api.problem import BAD_REQUEST, Problem


def check_attachments(attachments: Json) -> Iterator[Problem]:
    """Yield the problems of the attachments. SendGrid does not say where, when they are no array of objects."""
    if not isinstance(attachments, list):
        yield BAD_REQUEST
        return
    for n, attachment in enumerate(attachments):
        if isinstance(attachment, dict):
            yield from _check_attachment(attachment, f"attachments.{n}")
        else:
            yield BAD_REQUEST


def _check_attachment(attachment: dict[str, Json], field: str) -> Iterator[Problem]:
    yield from _check_file(attachment.get("content", ""), f"{field}.content")
    if "type" in attachment:
        yield from _check_type(attachment["type"], f"{field}.type")
    if "filename" in attachment:
        yield from _check_filename(attachment["filename"], f"{field}.filename")
    else:
        yield rules.FILENAME_REQUIRED.broken(f"{field}.filename")
    if attachment.get("disposition", "attachment") not in ("inline", "attachment"):
        yield rules.ATTACHMENT_DISPOSITION.broken(f"{field}.disposition")
    content_id = attachment.get("content_id", "")
    if not isinstance(content_id, str):
        yield rules.CONTENT_ID.broken(f"{field}.content_id", content_id)
    elif has_line_end(content_id):
        yield rules.CONTENT_ID_CHARACTERS.broken(f"{field}.content_id")


def _check_file(content: Json, field: str) -> Iterator[Problem]:
    if not isinstance(content, str):
        yield wrong_type(content, "string", field, rules.ATTACHMENT_REQUIRED.anchor)
    elif not content:
        yield rules.ATTACHMENT_REQUIRED.broken(field)
    elif not _is_base64(content):
        yield rules.ATTACHMENT_BASE64.broken(field)


def _check_type(media_type: Json, field: str) -> Iterator[Problem]:
    if not isinstance(media_type, str) or not media_type:
        yield rules.ATTACHMENT_TYPE.broken(field)
    elif has_line_end(media_type):  # but parameters are accepted: calendars need them, and clients send them
        yield rules.ATTACHMENT_TYPE_CHARACTERS.broken(field)


def _check_filename(filename: Json, field: str) -> Iterator[Problem]:
    if not isinstance(filename, str):
        yield rules.FILENAME.broken(field)
    elif has_line_end(filename):
        yield rules.FILENAME_CHARACTERS.broken(field)


def has_line_end(text: str) -> bool:
    """Tell whether a text holds a CR or LF."""
    return "\r" in text or "\n" in text


def _is_base64(text: str) -> bool:
    """Whether a text is base64 with its padding and nothing else: read as the first pass reads it (binascii takes `aaaa=`)."""
    try:
        msgspec.convert(text, bytes)
    except msgspec.ValidationError:
        return False
    return True
