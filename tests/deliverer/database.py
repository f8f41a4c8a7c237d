"""Tenants, domains and keys in the real database."""

from __future__ import annotations

import asyncpg
from tests.deliverer.making import DOMAIN, OTHER, TENANT

from scaisend_common.mail.binding import dkim_binding
from scaisend_common.plumbing.crypto import KeyRing, new_dkim_key, new_key_ring, seal

KEK_TEXT = new_key_ring()
KEK = KeyRing.parse(KEK_TEXT)
DER, PUBLIC = new_dkim_key()


async def execute(dsn: str, sql: str, *args: object) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(sql, *args)
    finally:
        await connection.close()


async def make_tenants(dsn: str) -> None:
    """Two tenants, the first with a verified domain and its key."""
    await execute(
        dsn,
        """
        WITH partner AS (INSERT INTO partners (slug, name) VALUES ('p', 'p') RETURNING id)
        INSERT INTO tenants (id, partner_id, slug, name) SELECT t::uuid, partner.id, t, t FROM partner, unnest($1::text[]) AS t
        """,
        [TENANT, OTHER],
    )
    await make_domain(dsn, DOMAIN)


async def make_domain(dsn: str, domain: str, *, selector: str = "s1", verified: bool = True, tenant_id: str = TENANT) -> None:
    await execute(
        dsn,
        "INSERT INTO sender_domains (tenant_id, domain, challenge, return_path_host, verified_at) VALUES ($1::uuid, $2, 'c', $3, CASE WHEN $4 THEN now() END)",
        tenant_id,
        domain,
        f"bounces.{domain}",
        verified,
    )
    kid, sealed = seal(KEK, DER, dkim_binding(tenant_id, domain, selector))
    await execute(
        dsn,
        "INSERT INTO dkim_keys (tenant_id, domain, selector, sealed_key, kek_kid, public_key) VALUES ($1::uuid, $2, $3, $4, $5, $6)",
        tenant_id,
        domain,
        selector,
        sealed,
        kid,
        PUBLIC,
    )
