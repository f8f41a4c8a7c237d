"""What a mail says: the rules of subject, content and template_id, over plain JSON. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from scaisend_api import rules
from scaisend_api.json_value import Json, wrong_type
from scaisend_api.limits import SUBJECT_BYTES
from scaisend_api.problem import Problem

_is_template_id = re.compile(r"d-[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch
_ORDER = {"text/plain": 0, "text/html": 1}
_OTHER = 2


def check_subject(request: dict[str, Json]) -> Iterator[Problem]:
    """Yield the problems of the common subject, which may be absent where a template or every personalization has one."""
    subject = request.get("subject", "")
    if not isinstance(subject, str):
        yield wrong_type(subject, "string", "subject", rules.SUBJECT.anchor)
    elif len(subject.encode()) > SUBJECT_BYTES:
        yield rules.SUBJECT_LARGE.broken("subject", f"{SUBJECT_BYTES:,}")
    elif not subject and "template_id" not in request and not _all_have_subjects(request.get("personalizations")):
        yield rules.SUBJECT_REQUIRED.broken("subject")
    elif not subject and "subject" in request:
        yield rules.SUBJECT.broken("subject")


def check_template_id(template_id: Json) -> Iterator[Problem]:
    """Yield the problem of a template id; whether there is such a template shows later (contract 2.4)."""
    if not isinstance(template_id, str):
        yield rules.TEMPLATE_ID_TYPE.broken("template_id", template_id)
    elif not is_template_id(template_id):
        yield rules.TEMPLATE_ID.broken("template_id", template_id)


def is_template_id(text: str) -> bool:
    """Tell whether a text has the form of a template's id, dynamic or legacy."""
    return _is_template_id(text) is not None


def is_dynamic(template_id: Json) -> bool:
    """Tell whether an id is a dynamic template's."""
    return isinstance(template_id, str) and template_id.startswith("d-")


def check_content(request: dict[str, Json]) -> Iterator[Problem]:
    """Yield the problems of the content blocks, which only a well-formed template id replaces."""
    content = request.get("content", [])
    if not isinstance(content, list):
        yield wrong_type(content, "array", "content", rules.CONTENT_REQUIRED.anchor)
    elif not content:
        template_id = request.get("template_id")
        if not isinstance(template_id, str) or not is_template_id(template_id):
            yield rules.CONTENT_REQUIRED.broken("content")
    else:
        for n, block in enumerate(content):
            yield from _check_block(block, f"content.{n}")
        yield from _check_order(content)


def content_rank(media_type: str) -> int:
    """Return where a block has its place: plain text first, HTML second, all else after them."""
    return _ORDER.get(media_type.strip().lower(), _OTHER)


def is_block_type(media_type: str) -> bool:
    """Tell whether a text can be a block's type."""
    return bool(media_type) and not (";" in media_type or "\r" in media_type or "\n" in media_type)


def _all_have_subjects(personalizations: Json) -> bool:
    if not isinstance(personalizations, list) or not personalizations:
        return False
    return all(isinstance(each, dict) and each.get("subject") for each in personalizations)


def _check_block(block: Json, field: str) -> Iterator[Problem]:
    if not isinstance(block, dict):
        yield wrong_type(block, "object", field, rules.CONTENT_REQUIRED.anchor)
        return
    media_type, value = block.get("type", ""), block.get("value", "")
    if not isinstance(media_type, str):
        yield wrong_type(media_type, "string", f"{field}.type", rules.CONTENT_TYPE.anchor)
    elif not media_type:
        yield rules.CONTENT_TYPE.broken(f"{field}.type")
    elif not is_block_type(media_type):
        yield rules.CONTENT_TYPE_CHARACTERS.broken(f"{field}.type")
    if not isinstance(value, str):
        yield wrong_type(value, "string", f"{field}.value", rules.CONTENT_VALUE.anchor)
    elif not value:
        yield rules.CONTENT_VALUE.broken(f"{field}.value")


def _check_order(content: list[Json]) -> Iterator[Problem]:
    highest = 0
    for n, block in enumerate(content):
        media_type = block.get("type") if isinstance(block, dict) else None
        rank = content_rank(media_type) if isinstance(media_type, str) and media_type else highest
        if rank < highest:
            yield rules.CONTENT_ORDER.broken(f"content.{n}.value")
            return
        highest = rank
