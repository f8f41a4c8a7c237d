"""Suppressions: kinds, the drop reason that each gives (contract section 11), and which of them a message asks to pass by.

The reason is also the value of the address's stop in the ledger, so whoever meets the stop can tell whether it holds for a message.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

import msgspec

SUSPENDED = "Account Suspended"  # the tenant's stop; SendGrid has no such reason, it closes the account


class SuppressionKind(StrEnum):
    """Why an address is suppressed; in the order in which one is named where several hold."""

    BOUNCE = "bounce"
    INVALID = "invalid"
    SPAMREPORT = "spamreport"
    UNSUBSCRIBE = "unsubscribe"


_REASONS = {
    SuppressionKind.BOUNCE: "Bounced Address",
    SuppressionKind.INVALID: "Invalid",
    SuppressionKind.SPAMREPORT: "Spam Reporting Address",
    SuppressionKind.UNSUBSCRIBE: "Unsubscribed Address",
}
_KINDS = {reason: kind for kind, reason in _REASONS.items()}
_NONE: frozenset[SuppressionKind] = frozenset()


class _Switch(msgspec.Struct, frozen=True):
    enable: bool = False


class _MailSettings(msgspec.Struct, frozen=True):
    bypass_list_management: _Switch | None = None
    bypass_bounce_management: _Switch | None = None
    bypass_spam_management: _Switch | None = None
    bypass_unsubscribe_management: _Switch | None = None


class _Settings(msgspec.Struct, frozen=True):
    mail_settings: _MailSettings | None = None


_decode = msgspec.json.Decoder(_Settings).decode


def drop_reason(kind: SuppressionKind) -> str:
    """Return the `reason` of the dropped event that a suppression of this kind causes."""
    return _REASONS[kind]


def bypassed(settings: bytes) -> frozenset[SuppressionKind]:
    """Return the kinds that do not hold for a message with these settings (`Submission.settings`, JSON text or nothing).

    The list of invalid addresses is passed by only with bypass_list_management, which passes by everything.
    """
    asked = _decode(settings).mail_settings if settings else None
    if asked is None:
        return _NONE
    if asked.bypass_list_management and asked.bypass_list_management.enable:
        return frozenset(SuppressionKind)
    switches = {
        SuppressionKind.BOUNCE: asked.bypass_bounce_management,
        SuppressionKind.SPAMREPORT: asked.bypass_spam_management,
        SuppressionKind.UNSUBSCRIBE: asked.bypass_unsubscribe_management,
    }
    return frozenset(kind for kind, switch in switches.items() if switch and switch.enable)


def reason_of(kinds: Collection[SuppressionKind], settings: bytes) -> str | None:
    """Return why an address that is suppressed by `kinds` is not written to, or None where the message passes all of them by."""
    if not kinds:
        return None
    held = set(kinds) - bypassed(settings)
    return next((_REASONS[kind] for kind in SuppressionKind if kind in held), None)


def stop_holds(reason: str, settings: bytes) -> bool:
    """Tell whether an address's stop with this value stops a message with these settings."""
    kind = _KINDS.get(reason)
    return kind is None or kind not in bypassed(settings)
