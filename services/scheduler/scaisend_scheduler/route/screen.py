"""Screening: which deliveries are dropped before their first attempt, and the reason that the customer sees. Pure."""

from __future__ import annotations

from scaisend_scheduler.barred import Barred
from scaisend_scheduler.route.expand import Delivery

NO_SUCH_TEMPLATE = "Invalid SMTPAPI header"  # SendGrid's reason for an unknown template (contract 2.4)


def reason_to_drop(delivery: Delivery, barred: Barred) -> str | None:
    """Return the reason of the dropped event, or None where the delivery goes on.

    No template exists yet, so a submission that names one cannot be rendered.
    """
    message = delivery.message
    if message.origin.template_id is not None and message.tenant_id not in barred.suspended:
        return NO_SUCH_TEMPLATE
    return barred.reason_against(message.tenant_id, delivery.rcpt, message.head.settings)
