"""SQL of later: rows in, rows leased, rows out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from scaisend_common.messages import LaterItem, WhyLater, encode
from scaisend_common.plumbing.postgres import Pool, tenant_transaction


@dataclass(frozen=True, slots=True)
class DueRow:
    """A leased row; its first four fields are its key. `leased_before`: somebody may have published its job already."""

    tenant_id: str
    due_at: datetime
    delivery_id: str
    attempt: int
    why: WhyLater
    job: bytes
    leased_before: bool


async def keep_waiting(pool: Pool, items: Sequence[LaterItem]) -> None:
    """Insert rows; one that is there already stays as it is. Raises DatabaseAway."""
    jobs = [item.job for item in items]
    async with tenant_transaction(pool, {job.tenant_id for job in jobs}) as connection:
        await connection.execute(
            """
            INSERT INTO later (tenant_id, due_at, delivery_id, attempt, why, source, site, job)
            SELECT i.tenant_id, to_timestamp(i.due_at), i.delivery_id, i.attempt, i.why, i.source, i.site, i.job
            FROM unnest($1::uuid[], $2::float8[], $3::text[], $4::int[], $5::text[], $6::text[], $7::text[], $8::bytea[])
                 AS i (tenant_id, due_at, delivery_id, attempt, why, source, site, job)
            ON CONFLICT (tenant_id, due_at, delivery_id, attempt) DO NOTHING
            """,
            [job.tenant_id for job in jobs],
            [item.due_at for item in items],
            [job.delivery_id for job in jobs],
            [job.attempt for job in jobs],
            [item.why for item in items],
            [job.source for job in jobs],
            [job.site for job in jobs],
            [encode(job) for job in jobs],
        )


async def claim_due(pool: Pool, most: int, lease: timedelta) -> list[DueRow]:
    """Lease up to `most` rows that are due by the database's clock, oldest first. Raises DatabaseAway."""
    async with pool.acquire() as connection:
        rows = await connection.fetch(
            "SELECT tenant_id, due_at, delivery_id, attempt, why, job, leased_before FROM later_claim($1, $2)", most, lease
        )
    return [
        DueRow(str(t), due_at, delivery_id, attempt, WhyLater(why), job, again) for t, due_at, delivery_id, attempt, why, job, again in rows
    ]


async def forget(pool: Pool, rows: Iterable[DueRow]) -> None:
    """Delete rows whose jobs are confirmed. Raises DatabaseAway."""
    rows = list(rows)
    async with tenant_transaction(pool, {row.tenant_id for row in rows}) as connection:
        await connection.execute(
            "SELECT later_forget($1, $2, $3, $4)",
            [row.tenant_id for row in rows],
            [row.due_at for row in rows],
            [row.delivery_id for row in rows],
            [row.attempt for row in rows],
        )
