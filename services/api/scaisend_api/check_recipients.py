"""Who receives a mail: the rules of the personalizations, over plain JSON. Pure.

One bad recipient refuses the whole request. The same address in two personalizations is two mails; within one it is a mistake.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from scaisend_api import rules
from scaisend_api.check_content import is_dynamic
from scaisend_api.check_fields import OWN, are_texts, check_headers, check_send_at, size_of
from scaisend_api.check_mailbox import RECIPIENT, SENDER, check_mailbox
from scaisend_api.json_value import Json, wrong_type
from scaisend_api.limits import PERSONALIZATIONS, RECIPIENTS, SUBJECT_BYTES, SUBSTITUTIONS_BYTES, TEMPLATE_DATA_BYTES, Limits
from scaisend_api.problem import BAD_REQUEST, Problem

_ANCHOR = rules.PERSONALIZATIONS_MANY.anchor


def check_personalizations(request: dict[str, Json], now: float, limits: Limits) -> Iterator[Problem]:
    """Yield the problems of all personalizations; of too many, only that."""
    personalizations = request.get("personalizations", [])
    if not isinstance(personalizations, list):
        yield wrong_type(personalizations, "array", "personalizations", _ANCHOR)
    elif not personalizations:
        yield rules.PERSONALIZATIONS_REQUIRED.broken("personalizations")
    elif len(personalizations) > PERSONALIZATIONS:
        yield rules.PERSONALIZATIONS_MANY.broken("personalizations", len(personalizations))
    elif sum(map(_count, personalizations)) > RECIPIENTS:
        yield rules.RECIPIENTS_MANY.broken("personalizations")
    else:
        for n, personalization in enumerate(personalizations):
            field = f"personalizations.{n}"
            if not isinstance(personalization, dict):
                yield wrong_type(personalization, "object", field, _ANCHOR)
                continue
            yield from _check_recipients(personalization, n)
            yield from check_own_fields(personalization, field, request, now, limits)


def check_own_fields(own: dict[str, Json], field: str, request: dict[str, Json], now: float, limits: Limits) -> Iterator[Problem]:
    """Yield the problems of what a personalization says beside its recipients."""
    if "from" in own:
        yield from check_mailbox(own["from"], f"{field}.from", SENDER)
    if "subject" in own:
        yield from _check_subject(own["subject"], f"{field}.subject")
    if "headers" in own:
        yield from check_headers(own["headers"], f"{field}.headers", OWN)
    if "substitutions" in own:
        yield from _check_substitutions(own["substitutions"], f"{field}.substitutions", request.get("template_id"))
    if "dynamic_template_data" in own:
        yield from _check_template_data(own["dynamic_template_data"], f"{field}.dynamic_template_data")
    if "custom_args" in own:
        yield from _check_custom_args(own["custom_args"], request.get("custom_args"), f"{field}.custom_args", limits)
    if "send_at" in own:
        yield from check_send_at(own["send_at"], f"{field}.send_at", "message.personalizations.send_at", now)


def _count(personalization: Json) -> int:
    if not isinstance(personalization, dict):
        return 0
    recipients = [personalization.get(kind) for kind in RECIPIENT]
    return sum(len(each) for each in recipients if isinstance(each, list))


def _check_recipients(personalization: dict[str, Json], n: int) -> Iterator[Problem]:
    for kind, place in RECIPIENT.items():
        field = f"personalizations.{n}.{kind}"
        recipients = personalization.get(kind, [])
        if not isinstance(recipients, list):
            yield wrong_type(recipients, "array", field, place.anchor)
        elif kind == "to" and not recipients:
            yield rules.TO_REQUIRED.broken(field)
        else:
            for m, recipient in enumerate(recipients):
                yield from check_mailbox(recipient, f"{field}.{m}", place)
    if twice := _first_twice(personalization):
        email, kind = twice
        yield rules.RECIPIENT_TWICE.broken(f"personalizations.{n}", email, n, kind)


def _first_twice(personalization: dict[str, Json]) -> tuple[str, str] | None:
    """The first address that occurs again, in whatever case, and where it does."""
    seen: set[str] = set()
    for kind in RECIPIENT:
        recipients = personalization.get(kind)
        for recipient in recipients if isinstance(recipients, list) else ():
            email = recipient.get("email") if isinstance(recipient, dict) else None
            if not isinstance(email, str) or not email:
                continue
            if email.lower() in seen:
                return email, kind
            seen.add(email.lower())
    return None


def _check_subject(subject: Json, field: str) -> Iterator[Problem]:
    if not isinstance(subject, str):
        yield wrong_type(subject, "string", field, rules.PERSONALIZATION_SUBJECT.anchor)
    elif not subject:
        yield rules.PERSONALIZATION_SUBJECT.broken(field)
    elif len(subject.encode()) > SUBJECT_BYTES:
        yield rules.SUBJECT_LARGE.broken(field, f"{SUBJECT_BYTES:,}", anchor=rules.PERSONALIZATION_SUBJECT.anchor)


def _check_substitutions(substitutions: Json, field: str, template_id: Json) -> Iterator[Problem]:
    if not isinstance(substitutions, dict):
        yield wrong_type(substitutions, "object", field, rules.SUBSTITUTIONS_LARGE.anchor)
    elif not are_texts(substitutions):
        yield BAD_REQUEST
    elif substitutions and is_dynamic(template_id):
        yield rules.SUBSTITUTIONS_DYNAMIC.broken(field)
    elif size_of(substitutions) > SUBSTITUTIONS_BYTES:
        yield rules.SUBSTITUTIONS_LARGE.broken(field, f"{SUBSTITUTIONS_BYTES:,}")


def _check_template_data(data: Json, field: str) -> Iterator[Problem]:
    if not isinstance(data, dict):
        yield wrong_type(data, "object", field, rules.TEMPLATE_DATA_LARGE.anchor)
    elif len(msgspec.json.encode(data)) > TEMPLATE_DATA_BYTES:
        yield rules.TEMPLATE_DATA_LARGE.broken(field, f"{TEMPLATE_DATA_BYTES:,}")


def _check_custom_args(own: Json, common: Json, field: str, limits: Limits) -> Iterator[Problem]:
    if not isinstance(own, dict):
        yield wrong_type(own, "object", field, rules.CUSTOM_ARGS_LARGE.anchor)
    elif not are_texts(own):
        yield BAD_REQUEST
    elif size_of((common if isinstance(common, dict) else {}) | own) > limits.custom_args_bytes:
        yield rules.CUSTOM_ARGS_LARGE.broken(field, f"{limits.custom_args_bytes:,}")
