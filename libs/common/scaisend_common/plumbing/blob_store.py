"""SQL of the blobs: the table `blobs`, partitioned by day."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from scaisend_common.plumbing.postgres import Pool, tenant_transaction


async def insert_blob(pool: Pool, tenant_id: str, day: date, submission_id: str, n: int, content: bytes) -> None:
    """Store a blob, unless it is there already: a blob never changes."""
    async with tenant_transaction(pool, [tenant_id]) as connection:
        await connection.execute(
            """
            INSERT INTO blobs (tenant_id, day, submission_id, n, content)
            VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (tenant_id, day, submission_id, n) DO NOTHING
            """,
            UUID(tenant_id),
            day,
            submission_id,
            n,
            content,
        )


async def read_blob(pool: Pool, tenant_id: str, day: date, submission_id: str, n: int) -> bytes | None:
    """Return the content, or None where there is no such blob."""
    async with tenant_transaction(pool, [tenant_id]) as connection:
        content: bytes | None = await connection.fetchval(
            "SELECT content FROM blobs WHERE tenant_id = $1 AND day = $2 AND submission_id = $3 AND n = $4",
            UUID(tenant_id),
            day,
            submission_id,
            n,
        )
    return content
