"""SQL of the deliverer; it reads only, and only what its caches miss or the ledger has forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scaisend_common.mail.ids import made_at, submission_of
from scaisend_common.mail.suppression import SUSPENDED, SuppressionKind
from scaisend_common.messages import Job
from scaisend_common.plumbing.postgres import Pool, tenant_transaction
from scaisend_deliverer.earlier import Told


@dataclass(frozen=True, slots=True)
class SenderRow:
    """Who a tenant is in return paths, and how mail from one of its domains is signed. `sealed_key`: see `mail.binding.dkim_binding`."""

    tenant_number: int
    at_most_once: bool
    domain: str
    return_path_host: str
    selector: str
    sealed_key: bytes
    kek_kid: str


async def find_sender(pool: Pool, tenant_id: str, domains: Sequence[str]) -> SenderRow | None:
    """Return how the tenant signs for the longest of `domains` that it has verified and has an active key for. Raises DatabaseAway."""
    async with tenant_transaction(pool, [tenant_id]) as connection:
        row = await connection.fetchrow(
            """
            SELECT t.number, t.at_most_once, d.domain, d.return_path_host, k.selector, k.sealed_key, k.kek_kid
            FROM tenants t
            JOIN sender_domains d ON d.tenant_id = t.id AND d.verified_at IS NOT NULL
            JOIN dkim_keys k ON k.tenant_id = d.tenant_id AND k.domain = d.domain AND k.active
            WHERE t.id = $1::uuid AND d.domain = ANY ($2::text[])
            ORDER BY length(d.domain) DESC, k.created_at DESC, k.selector
            LIMIT 1
            """,
            tenant_id,
            list(domains),
        )
    return SenderRow(*row) if row is not None else None


async def find_bars(pool: Pool, tenant_id: str, address: str) -> tuple[str | None, frozenset[SuppressionKind]]:
    """Return why nothing of the tenant may go out, if so, and by what kinds an address (lower case) is suppressed. Raises DatabaseAway."""
    async with tenant_transaction(pool, [tenant_id]) as connection:
        rows = await connection.fetch(
            """
            SELECT NULL AS kind FROM tenants WHERE id = $1::uuid AND state = 'suspended'
            UNION ALL
            SELECT kind FROM suppressions WHERE tenant_id = $1::uuid AND address = $2
            """,
            tenant_id,
            address,
        )
    kinds = [row["kind"] for row in rows]
    return SUSPENDED if None in kinds else None, frozenset(SuppressionKind(kind) for kind in kinds if kind is not None)


async def find_told(pool: Pool, job: Job) -> Told | None:
    """Return what the timeline tells of a delivery, or None where it knows nothing of it. Raises DatabaseAway."""
    async with tenant_transaction(pool, [job.tenant_id]) as connection:
        row = await connection.fetchrow(
            "SELECT attempt, rank >= 10 FROM messages WHERE tenant_id = $1::uuid AND day = $2 AND delivery_id = $3",
            job.tenant_id,
            made_at(submission_of(job.delivery_id)).date(),
            job.delivery_id,
        )
    return Told(*row) if row is not None else None
