"""Mailboxes, `{"email", "name"}`: their rules over plain JSON, with the words that each place has for them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from scaisend_api import rules
from scaisend_api.json_value import Json, wrong_type
from scaisend_api.limits import EMAIL_LENGTH, NAME_LENGTH
from scaisend_api.problem import Problem, Rule
from scaisend_common.mail.address import parse_address


class Place(NamedTuple):
    """Where a mailbox stands: what is said of a missing, a wrong and a long address, `words` filling the places of the first and last.

    `names_email`: the address is blamed, not the whole mailbox.
    """

    anchor: str
    missing: Rule
    wrong: Rule
    long: Rule
    words: tuple[str, ...] = ()
    names_email: bool = True


RECIPIENT: Final = {
    kind: Place(
        f"message.personalizations.{kind}",
        rules.RECIPIENT_EMAIL_REQUIRED,
        rules.RECIPIENT_EMAIL,
        rules.RECIPIENT_EMAIL_LONG,
        (kind, "To" if kind == "to" else kind.upper()),
    )
    for kind in ("to", "cc", "bcc")
}
SENDER: Final = Place(rules.FROM_EMAIL.anchor, rules.FROM_REQUIRED, rules.FROM_EMAIL, rules.FROM_EMAIL_LONG)
REPLY_TO: Final = Place(rules.REPLY_TO.anchor, rules.REPLY_TO, rules.REPLY_TO, rules.REPLY_TO_LONG, names_email=False)


def check_mailbox(value: Json, field: str, place: Place) -> Iterator[Problem]:
    """Yield the problems of one mailbox at `field`."""
    if not isinstance(value, dict):
        yield wrong_type(value, "object", field, place.anchor)
        return
    email, name = value.get("email", ""), value.get("name", "")
    path = f"{field}.email" if place.names_email else field
    if not isinstance(email, str):
        yield wrong_type(email, "string", f"{field}.email", place.anchor)
    elif not email:
        yield place.missing.broken(path, *place.words[:1], anchor=place.anchor)
    elif len(email) > EMAIL_LENGTH:
        yield place.long.broken(path, *place.words[1:], anchor=place.anchor)
    elif parse_address(email) is None:
        yield place.wrong.broken(path, anchor=place.anchor)
    if not isinstance(name, str):
        yield wrong_type(name, "string", f"{field}.name", place.anchor)
    elif len(name) > NAME_LENGTH:
        yield rules.NAME_LONG.broken(f"{field}.name", NAME_LENGTH, anchor=place.anchor)
