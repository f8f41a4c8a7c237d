"""Requests for tests: one that keeps every rule, and strategies for those that may not."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

NOW = 1_800_000_000.0
HELP = "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html#"


def valid(**changes: Any) -> dict[str, Any]:
    """A request without mistakes, with top-level fields changed; a field set to ... is left out."""
    request: dict[str, Any] = {
        "personalizations": [{"to": [{"email": "ann@example.com"}]}],
        "from": {"email": "shop@sender.test", "name": "Shop"},
        "subject": "Hello",
        "content": [{"type": "text/plain", "value": "Hi"}, {"type": "text/html", "value": "<p>Hi</p>"}],
    }
    return {key: value for key, value in (request | changes).items() if value is not ...}


def to(*emails: str, **more: Any) -> dict[str, Any]:
    """A personalization with these recipients."""
    return {"to": [{"email": email} for email in emails], **more}


def body(request: Any) -> bytes:
    """The request as JSON."""
    return json.dumps(request).encode()


texts = st.text(max_size=8) | st.sampled_from(
    ["a@b.co", "A@b.co", "text/plain", "text/html", "d-" + "0" * 32, "aGk=", "\r\n", "", "inline", "é"]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(texts, children, max_size=3),
    max_leaves=8,
)
_mailbox = st.fixed_dictionaries({"email": texts}, optional={"name": texts | json_values}) | json_values
_texts_object = st.dictionaries(texts, texts, max_size=2) | json_values
_enable = st.fixed_dictionaries({}, optional={"enable": st.booleans() | json_values, "text": texts, "html": json_values})
_personalization = (
    st.fixed_dictionaries(
        {"to": st.lists(_mailbox, max_size=3) | json_values},
        optional={
            "cc": st.lists(_mailbox, max_size=2) | json_values,
            "bcc": st.lists(_mailbox, max_size=2),
            "from": _mailbox,
            "subject": texts | json_values,
            "headers": _texts_object,
            "substitutions": _texts_object,
            "dynamic_template_data": json_values,
            "custom_args": _texts_object,
            "send_at": st.integers() | json_values,
        },
    )
    | json_values
)
_block = st.fixed_dictionaries({"type": texts, "value": texts}) | json_values
_attachment = (
    st.fixed_dictionaries(
        {"content": texts, "filename": texts}, optional={"type": texts, "disposition": texts, "content_id": texts | json_values}
    )
    | json_values
)
requests = st.fixed_dictionaries(
    {},
    optional={
        "personalizations": st.lists(_personalization, max_size=3) | json_values,
        "from": _mailbox,
        "reply_to": _mailbox,
        "reply_to_list": st.lists(_mailbox, max_size=2) | json_values,
        "subject": texts | json_values,
        "content": st.lists(_block, max_size=3) | json_values,
        "attachments": st.lists(_attachment, max_size=2) | json_values,
        "template_id": texts | json_values,
        "headers": _texts_object,
        "categories": st.lists(texts, max_size=3) | json_values,
        "custom_args": _texts_object,
        "send_at": st.integers() | json_values,
        "sections": _texts_object,
        "mail_settings": st.dictionaries(
            st.sampled_from(["sandbox_mode", "footer", "bypass_list_management", "bypass_spam_management"]), _enable
        )
        | json_values,
        "tracking_settings": json_values,
        "batch_id": json_values,
        "asm": json_values,
        "ip_pool_name": json_values,
        "unheard_of": json_values,
    },
)
nearly_valid = st.builds(
    lambda changes, dropped: {key: value for key, value in (valid() | changes).items() if key not in dropped},
    requests,
    st.sets(st.sampled_from(["subject", "content", "from", "personalizations"]), max_size=1),
)
