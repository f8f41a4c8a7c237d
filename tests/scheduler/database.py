"""Looking into the real database as its administrator, who is under no row-level security."""

from __future__ import annotations

import asyncpg
from tests.scheduler.making import OTHER, TENANT


async def rows(dsn: str, sql: str, *args: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        found: list[asyncpg.Record] = await connection.fetch(sql, *args)
        return found
    finally:
        await connection.close()


async def make_tenants(dsn: str) -> None:
    await rows(
        dsn,
        """
        WITH partner AS (INSERT INTO partners (slug, name) VALUES ('p', 'p') RETURNING id)
        INSERT INTO tenants (id, partner_id, slug, name) SELECT t::uuid, partner.id, t, t FROM partner, unnest($1::text[]) AS t
        """,
        [TENANT, OTHER],
    )


async def suppress(dsn: str, address: str, kind: str, tenant_id: str = TENANT) -> None:
    await rows(
        dsn, "INSERT INTO suppressions (tenant_id, address, kind, created_at) VALUES ($1::uuid, $2, $3, now())", tenant_id, address, kind
    )
