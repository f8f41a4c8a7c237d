"""What stands in Postgres against deliveries, and the reason that it gives for dropping one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scaisend_common.mail.address import Address, suppression_key
from scaisend_common.mail.suppression import SUSPENDED, SuppressionKind, reason_of


@dataclass(frozen=True, slots=True)
class Barred:
    """Suspended tenants, and the kinds that suppress (tenant, suppression key)."""

    suspended: frozenset[str]
    suppressed: Mapping[tuple[str, str], frozenset[SuppressionKind]]

    def reason_against(self, tenant_id: str, rcpt: Address, settings: bytes) -> str | None:
        """Return the reason of the dropped event, or None where a message with these settings may go out."""
        if tenant_id in self.suspended:
            return SUSPENDED
        if not self.suppressed:
            return None
        return reason_of(self.suppressed.get((tenant_id, suppression_key(rcpt)), frozenset()), settings)
