"""The settings of an event webhook as the API shows and takes them (contract section 10). Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from scaisend_api.json_value import Json

KINDS: Final = (
    *("group_resubscribe", "delivered", "group_unsubscribe", "spam_report", "bounce", "deferred"),
    *("unsubscribe", "processed", "open", "click", "dropped"),
)
_URL_LENGTH = 2048


@dataclass(frozen=True, slots=True)
class EndpointForm:
    """Where a tenant's events go, and which of them; a tenant without an endpoint has an empty form."""

    enabled: bool = False
    url: str = ""
    kinds: frozenset[str] = frozenset()
    is_signed: bool = False
    public_key: str = ""

    def view(self) -> dict[str, bool | str]:
        """The form as the API shows it."""
        flags = {kind: kind in self.kinds for kind in KINDS}
        signing = {"public_key": self.public_key} if self.is_signed else {}
        return {"enabled": self.enabled, "url": self.url, **flags, **signing}


def changed(form: EndpointForm, wish: Json) -> EndpointForm | str:
    """Return the form with a partial object put over it, or what is wrong with that. Unknown keys are ignored."""
    if not isinstance(wish, dict):
        return "expected a JSON object"
    for name in ("enabled", *KINDS):
        if name in wish and not isinstance(wish[name], bool):
            return f"{name} must be a boolean"
    url = wish.get("url", form.url)
    if not isinstance(url, str) or (url and not is_web_address(url)):
        return f"'{url}' is not a valid url"
    enabled = wish.get("enabled", form.enabled) is True
    if enabled and not url:
        return "'' is not a valid url"
    kinds = frozenset(kind for kind in KINDS if wish.get(kind, kind in form.kinds))
    return replace(form, enabled=enabled, url=url, kinds=kinds)


def is_web_address(url: str) -> bool:
    """Tell whether events could be posted there; whether they may is decided when they are."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and port != 0
        and len(url) <= _URL_LENGTH
        and url.isprintable()
        and " " not in url
    )
