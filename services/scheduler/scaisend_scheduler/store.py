"""SQL that roles share: what stands against recipients."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from scaisend_common.mail.suppression import SuppressionKind
from scaisend_common.plumbing.postgres import Pool, tenant_transaction
from scaisend_scheduler.barred import Barred


async def find_barred(pool: Pool, recipients: Collection[tuple[str, str]]) -> Barred:
    """Return what stands against these (tenant, suppression key) pairs. Raises DatabaseAway."""
    tenants = {tenant for tenant, _ in recipients}
    async with tenant_transaction(pool, tenants) as connection:
        rows = await connection.fetch(
            """
            SELECT s.tenant_id, s.address, s.kind
            FROM unnest($1::uuid[], $2::text[]) AS r (tenant_id, address)
            JOIN suppressions s ON s.tenant_id = r.tenant_id AND s.address = r.address
            UNION ALL
            SELECT t.id, NULL, NULL FROM tenants t WHERE t.id = ANY ($3::uuid[]) AND t.state = 'suspended'
            """,
            [tenant for tenant, _ in recipients],
            [address for _, address in recipients],
            list(tenants),
        )
    suspended: set[str] = set()
    suppressed: dict[tuple[str, str], set[SuppressionKind]] = defaultdict(set)
    for tenant_id, address, kind in rows:
        if kind is None:
            suspended.add(str(tenant_id))
        else:
            suppressed[str(tenant_id), address].add(SuppressionKind(kind))
    return Barred(frozenset(suspended), {pair: frozenset(kinds) for pair, kinds in suppressed.items()})
