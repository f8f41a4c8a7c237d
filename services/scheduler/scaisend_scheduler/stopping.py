"""Writing stops into the ledger: what must not be sent any more, wherever it waits (see scaisend_common.stops).

A stop outlives every mail that may have been routed before it; new submissions are held against Postgres. Writing one again is harmless.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scaisend_common.mail.address import Address
from scaisend_common.mail.suppression import SUSPENDED, SuppressionKind, drop_reason
from scaisend_common.plumbing.redis import Redis
from scaisend_common.stops import address_stop, tenant_stop

LIFETIME = 10 * 86400  # seconds: 72 h of send_at, 72 h of retries, and margin; as long as blobs are kept
A_TRIP = 1000


@dataclass(frozen=True, slots=True)
class Suppressed:
    """An address (as suppressions know it) that a tenant must not write to."""

    tenant_id: str
    address: str
    kind: SuppressionKind


async def stop_suppressed(ledger: Redis, suppressed: Iterable[Suppressed]) -> None:
    """Stop what waits for these addresses; the value is the reason of the dropped event. Raises RedisAway."""
    await _write(ledger, [(address_stop(each.tenant_id, _address(each.address)), drop_reason(each.kind)) for each in suppressed])


async def stop_tenants(ledger: Redis, tenant_ids: Iterable[str]) -> None:
    """Stop what waits of these tenants. Raises RedisAway."""
    await _write(ledger, [(tenant_stop(tenant_id), SUSPENDED) for tenant_id in tenant_ids])


async def _write(ledger: Redis, stops: list[tuple[str, str]]) -> None:
    for start in range(0, len(stops), A_TRIP):
        pipeline = ledger.pipeline(transaction=False)
        for key, reason in stops[start : start + A_TRIP]:
            pipeline.set(key, reason, ex=LIFETIME)
        await pipeline.execute()


def _address(text: str) -> Address:
    local, _, domain = text.rpartition("@")
    return Address(local, domain)
