"""The second pass over a request that the first one would not take: every rule of mail/send over plain JSON, all problems found.

The order is the request's own in SendGrid's documentation, so one request always gets one answer. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import msgspec

from scaisend_api import rules
from scaisend_api.check_attachments import check_attachments
from scaisend_api.check_content import check_content, check_subject, check_template_id
from scaisend_api.check_fields import COMMON, are_texts, check_headers, check_send_at, size_of
from scaisend_api.check_mailbox import REPLY_TO, SENDER, check_mailbox
from scaisend_api.check_recipients import check_personalizations
from scaisend_api.check_settings import check_mail_settings, check_tracking_settings
from scaisend_api.json_value import Json, wrong_type
from scaisend_api.limits import PROBLEMS, RECIPIENTS, SETTINGS_BYTES, Limits
from scaisend_api.problem import BAD_REQUEST, Problem

SETTINGS = ("mail_settings", "tracking_settings", "asm", "sections")  # what travels as JSON text
_CATEGORIES = 10
_CATEGORY_LENGTH = 255
_GROUPS = 25


def check_request(request: Json, now: float, limits: Limits) -> list[Problem]:
    """Return the problems of a request, at most a thousand; none where it has none. `now` in unix seconds."""
    if not isinstance(request, dict):
        return [BAD_REQUEST]
    problems = list(islice(_problems(request, now, limits), PROBLEMS))
    return [BAD_REQUEST] if BAD_REQUEST in problems else problems


def _problems(request: dict[str, Json], now: float, limits: Limits) -> Iterator[Problem]:
    yield from check_personalizations(request, now, limits)
    yield from check_mailbox(request.get("from", {}), "from", SENDER)
    yield from _check_reply_to(request)
    yield from check_subject(request)
    if "template_id" in request:
        yield from check_template_id(request["template_id"])
    yield from check_content(request)
    if "attachments" in request:
        yield from check_attachments(request["attachments"])
    if "headers" in request:
        yield from check_headers(request["headers"], "headers", COMMON)
    if "categories" in request:
        yield from check_categories(request["categories"])
    if "custom_args" in request:
        yield from check_common_custom_args(request["custom_args"], limits)
    if "send_at" in request:
        yield from check_send_at(request["send_at"], "send_at", rules.SEND_AT.anchor, now)
    yield from _check_what_accounts_have(request)
    yield from check_settings(request)


def check_settings(request: dict[str, Json]) -> Iterator[Problem]:
    """Yield the problems of what travels as settings."""
    if "sections" in request:
        yield from _check_texts(request["sections"], "sections")
    if "mail_settings" in request:
        yield from check_mail_settings(request["mail_settings"])
    if "tracking_settings" in request:
        yield from check_tracking_settings(request["tracking_settings"])
    if len(settings_of(request)) > SETTINGS_BYTES:
        yield rules.SETTINGS_LARGE.broken("mail_settings", f"{SETTINGS_BYTES:,}")


def settings_of(request: dict[str, Json]) -> bytes:
    """Return the settings as JSON text, nothing where there are none."""
    settings = {key: request[key] for key in SETTINGS if key in request}
    return msgspec.json.encode(settings) if settings else b""


def check_categories(categories: Json) -> Iterator[Problem]:
    """Yield the problems of the categories, one of each kind."""
    if not isinstance(categories, list):
        yield rules.CATEGORIES.broken("categories")
        return
    names = [each for each in categories if isinstance(each, str)]
    if len(names) < len(categories):
        yield rules.CATEGORIES.broken("categories")
    if len(categories) > _CATEGORIES:
        yield rules.CATEGORIES_MANY.broken("categories", len(categories))
    if long := next((name for name in names if len(name) > _CATEGORY_LENGTH), ""):
        yield rules.CATEGORY_LONG.broken("categories", long)
    seen: set[str] = set()
    twice = next((name for name in names if name in seen or seen.add(name)), None)  # type: ignore[func-returns-value]
    if twice is not None:
        yield rules.CATEGORY_TWICE.broken("categories", twice)
    if not all(map(str.isascii, names)):
        yield rules.CATEGORY_ASCII.broken("categories")


def _check_reply_to(request: dict[str, Json]) -> Iterator[Problem]:
    if "reply_to" in request:
        yield from check_mailbox(request["reply_to"], "reply_to", REPLY_TO)
    if "reply_to_list" not in request:
        return
    boxes = request["reply_to_list"]
    if "reply_to" in request:
        yield rules.REPLY_TO_BOTH.broken("reply_to_list")
    if not isinstance(boxes, list):
        yield wrong_type(boxes, "array", "reply_to_list", rules.REPLY_TO_LIST_MANY.anchor)
    elif len(boxes) > RECIPIENTS:
        yield rules.REPLY_TO_LIST_MANY.broken("reply_to_list")
    else:
        for n, box in enumerate(boxes):
            yield from check_mailbox(box, f"reply_to_list.{n}", REPLY_TO)
        emails = [str(box.get("email")).lower() for box in boxes if isinstance(box, dict)]
        if len(set(emails)) < len(emails):
            yield rules.REPLY_TO_LIST_TWICE.broken("reply_to_list")


def _check_texts(texts: Json, field: str) -> Iterator[Problem]:
    if not isinstance(texts, dict):
        yield wrong_type(texts, "object", field, f"message.{field}")
    elif not are_texts(texts):
        yield BAD_REQUEST


def check_common_custom_args(custom_args: Json, limits: Limits) -> Iterator[Problem]:
    """Yield the problems of the custom_args that all personalizations share."""
    yield from _check_texts(custom_args, "custom_args")
    if isinstance(custom_args, dict) and size_of(custom_args) > limits.custom_args_bytes:
        yield rules.CUSTOM_ARGS_LARGE.broken("custom_args", f"{limits.custom_args_bytes:,}", anchor="message.custom_args")


def _check_what_accounts_have(request: dict[str, Json]) -> Iterator[Problem]:
    """Batches, groups and pools: no account has any yet, so whatever is named is unknown."""
    if "batch_id" in request:
        rule = rules.BATCH_ID if isinstance(request["batch_id"], str) else rules.BATCH_ID_TYPE
        yield rule.broken("batch_id")
    if "asm" in request:
        yield from _check_asm(request["asm"])
    if "ip_pool_name" in request:
        pool = request["ip_pool_name"]
        yield rules.POOL.broken("ip_pool_name", pool) if isinstance(pool, str) else rules.POOL_TYPE.broken("ip_pool_name")


def _check_asm(asm: Json) -> Iterator[Problem]:
    if not isinstance(asm, dict):
        yield wrong_type(asm, "object", "asm", "message.asm")
        return
    group = asm.get("group_id")
    yield rules.GROUP_ID.broken("asm.group_id", group) if _is_integer(group) else rules.GROUP_ID_TYPE.broken("asm.group_id")
    if "groups_to_display" not in asm:
        return
    groups = asm["groups_to_display"]
    if not isinstance(groups, list) or not all(map(_is_integer, groups)):
        yield rules.GROUPS_TYPE.broken("asm.groups_to_display")
    elif len(groups) > _GROUPS:
        yield rules.GROUPS_MANY.broken("asm.groups_to_display")
    elif groups:
        yield rules.GROUPS.broken("asm.groups_to_display", ", ".join(map(str, groups)))


def _is_integer(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
