"""Screening: which deliveries are dropped before their first attempt, and the reason that the customer sees. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scaisend_common.mail.address import suppression_key
from scaisend_common.mail.suppression import SUSPENDED, SuppressionKind, reason_of
from scaisend_scheduler.route.expand import Delivery

NO_SUCH_TEMPLATE = "Invalid SMTPAPI header"  # SendGrid's reason for an unknown template (contract 2.4)


@dataclass(frozen=True, slots=True)
class Barred:
    """What Postgres says against the deliveries of a batch: suspended tenants, and the kinds that suppress (tenant, address)."""

    suspended: frozenset[str]
    suppressed: Mapping[tuple[str, str], frozenset[SuppressionKind]]


def reason_to_drop(delivery: Delivery, barred: Barred) -> str | None:
    """Return the reason of the dropped event, or None where the delivery goes on.

    No template exists yet, so a submission that names one cannot be rendered.
    """
    message = delivery.message
    if message.tenant_id in barred.suspended:
        return SUSPENDED
    if message.origin.template_id is not None:
        return NO_SUCH_TEMPLATE
    if not barred.suppressed:
        return None
    kinds = barred.suppressed.get((message.tenant_id, suppression_key(delivery.rcpt)), frozenset())
    return reason_of(kinds, message.head.settings)
