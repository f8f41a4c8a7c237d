"""SQL that roles share: what stands against recipients."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from scaisend_common.mail.suppression import SuppressionKind
from scaisend_common.plumbing.postgres import Pool
from scaisend_scheduler.barred import Barred


async def find_barred(pool: Pool, recipients: Collection[tuple[str, str]]) -> Barred:
    """Return what stands against these (tenant, suppression key) pairs. Raises DatabaseAway."""
    async with pool.acquire() as connection:
        rows = await connection.fetch(
            "SELECT tenant_id, address, kind FROM barred($1::uuid[], $2::text[])",
            [tenant for tenant, _ in recipients],
            [address for _, address in recipients],
        )
    suspended: set[str] = set()
    suppressed: dict[tuple[str, str], set[SuppressionKind]] = defaultdict(set)
    for tenant_id, address, kind in rows:
        if kind is None:
            suspended.add(str(tenant_id))
        else:
            suppressed[str(tenant_id), address].add(SuppressionKind(kind))
    return Barred(frozenset(suspended), {pair: frozenset(kinds) for pair, kinds in suppressed.items()})
