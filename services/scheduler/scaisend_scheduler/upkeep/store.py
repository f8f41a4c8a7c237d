"""SQL of upkeep: functions of the schema that look across tenants."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

from scaisend_common.mail.suppression import SuppressionKind
from scaisend_common.plumbing.postgres import Pool
from scaisend_scheduler.stopping import Suppressed

PAGE = 5000


async def ensure_partitions(pool: Pool, days: int) -> int:
    """Make what is missing of the partitions up to `days` ahead; return how many. Raises DatabaseAway."""
    async with pool.acquire() as connection:
        made: int = await connection.fetchval("SELECT ensure_partitions((now() AT TIME ZONE 'UTC')::date, $1)", days)
    return made


async def drop_partitions(pool: Pool, history_days: int, blob_days: int) -> int:
    """Drop what is older than it is kept; return how many partitions. Raises DatabaseAway."""
    async with pool.acquire() as connection:
        dropped: int = await connection.fetchval("SELECT drop_partitions($1, $2)", history_days, blob_days)
    return dropped


async def count_in_default_partitions(pool: Pool) -> int:
    """Return how many rows came when no partition was there for them. Raises DatabaseAway."""
    async with pool.acquire() as connection:
        rows: int = await connection.fetchval("SELECT rows_in_default_partitions()")
    return rows


async def count_unaccounted(pool: Pool, older: timedelta) -> int:
    """Return how many deliveries have not ended though their life has. Raises DatabaseAway."""
    async with pool.acquire() as connection:
        deliveries: int = await connection.fetchval("SELECT unaccounted_deliveries($1)", older)
    return deliveries


async def suspended_tenants(pool: Pool) -> list[str]:
    """Return the ids of suspended tenants. Raises DatabaseAway."""
    async with pool.acquire() as connection:
        rows = await connection.fetch("SELECT id FROM suspended_tenants() AS id")
    return [str(tenant_id) for (tenant_id,) in rows]


async def recent_suppressions(pool: Pool, within: timedelta) -> AsyncIterator[list[Suppressed]]:
    """Yield the suppressions made within that time, page by page. Raises DatabaseAway."""
    last = UUID(int=0), "", ""
    while True:
        async with pool.acquire() as connection:
            rows = await connection.fetch(
                "SELECT tenant_id, address, kind FROM suppressions_since(now() - $1::interval, $2, $3, $4, $5)", within, *last, PAGE
            )
        yield [Suppressed(str(tenant_id), address, SuppressionKind(kind)) for tenant_id, address, kind in rows]
        if len(rows) < PAGE:
            return
        last = rows[-1]["tenant_id"], rows[-1]["address"], rows[-1]["kind"]
