"""mail_settings and tracking_settings: which parameters each setting has, of what type, and the words for a wrong one. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from scaisend_api import rules
from scaisend_api.json_value import Json, wrong_type
from scaisend_api.problem import Problem, Rule


class _Parameter(NamedTuple):
    """The JSON type that a parameter must have, and what is said where it has another."""

    type: type[bool] | type[str]
    words: str


def _flag(words: str) -> _Parameter:
    return _Parameter(bool, words)


def _text(words: str) -> _Parameter:
    return _Parameter(str, words)


_BYPASSES = ("bypass_list_management", "bypass_spam_management", "bypass_bounce_management", "bypass_unsubscribe_management")
_Settings = Mapping[str, Mapping[str, _Parameter]]

_MAIL: _Settings = {
    **{name: {"enable": _flag(f"The {name.replace('_', ' ')} enable param should be a boolean value.")} for name in _BYPASSES},
    "bcc": {"enable": _flag("The bcc enable param should be a boolean value.")},
    "footer": {
        "enable": _flag("The footer enable param should be a boolean value."),
        "text": _text("The text/plain version of your footer should be a string."),
        "html": _text("The text/html version of your footer should be a string."),
    },
    "sandbox_mode": {"enable": _flag("The sandbox mode enable param should be a boolean value.")},
    "spam_check": {
        "enable": _flag("The spam check enable param should be a boolean value."),
        "post_to_url": _text("The spam check url must be a string."),
    },
}
_TRACKING: _Settings = {
    "click_tracking": {
        "enable": _flag("The click tracking enable param should be a boolean value."),
        "enable_text": _flag("The click tracking enable text must be a boolean value."),
    },
    "open_tracking": {
        "enable": _flag("The open tracking enable param should be a boolean value."),
        "substitution_tag": _text("The open tracking substitution tag must be a string."),
    },
    "subscription_tracking": {
        "enable": _flag("The subscription tracking enable param should be a boolean value."),
        "text": _text("The subscription tracking unsubscribe content for text/plain messages must be a string. "),
        "html": _text("The subscription tracking unsubscribe content for text/html messages must be a string."),
        "substitution_tag": _text("The subscription tracking substitution tag must be a string value."),
    },
    "ganalytics": {
        "enable": _flag("The Google Analytics enable param must be a boolean value."),
        **{
            name: _text(f"The Google Analytics {name} must be a string value.")
            for name in ("utm_source", "utm_medium", "utm_term", "utm_content", "utm_campaign")
        },
    },
}


def check_mail_settings(settings: Json) -> Iterator[Problem]:
    """Yield the problems of `mail_settings`. Settings that no longer exist are accepted and have no effect."""
    yield from _check(settings, "mail_settings", _MAIL)
    if isinstance(settings, dict) and is_on(settings, _BYPASSES[0]) and any(is_on(settings, other) for other in _BYPASSES[1:]):
        yield rules.BYPASS_ALONE.broken("mail_settings.bypass_list_management")


def check_tracking_settings(settings: Json) -> Iterator[Problem]:
    """Yield the problems of `tracking_settings`."""
    yield from _check(settings, "tracking_settings", _TRACKING)


def is_on(settings: Json, name: str) -> bool:
    """Tell whether the setting `name` is enabled."""
    setting = settings.get(name) if isinstance(settings, dict) else None
    return isinstance(setting, dict) and setting.get("enable") is True


def _check(settings: Json, field: str, known: _Settings) -> Iterator[Problem]:
    if not isinstance(settings, dict):
        yield wrong_type(settings, "object", field, f"message.{field}")
        return
    for name, parameters in known.items():
        if name not in settings:
            continue
        setting = settings[name]
        if not isinstance(setting, dict):
            yield wrong_type(setting, "object", f"{field}.{name}", f"message.{field}.{name}")
            continue
        for key, parameter in parameters.items():
            if key in setting and not isinstance(setting[key], parameter.type):
                path = f"{field}.{name}.{key}"
                yield Rule(f"message.{path}", parameter.words).broken(path)
