"""SQL of later: rows in, rows leased, rows out; and what the sweep looks for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from scaisend_common.mail.address import suppression_key
from scaisend_common.messages import LaterItem, WhyLater, encode
from scaisend_common.plumbing.postgres import Pool, tenant_transaction
from scaisend_scheduler.later.row import LaterKey, LaterRow

ROWS = 200  # a page, as the due loop takes: each may carry 128 KiB of content
RECIPIENTS = 500  # a page: each is a probe of an index in each hour of the table
SOON = timedelta(seconds=5)  # what is due so soon the due loop has as good as sent on: the deliverer drops it
_FIRST = LaterKey(str(UUID(int=0)), datetime(1, 1, 2, tzinfo=UTC), "", 0)


@dataclass(frozen=True, slots=True)
class Mark:
    """Until when suppressions have been looked for in the waiting room, and the database's clock."""

    looked_at: datetime
    now: datetime


async def keep_waiting(pool: Pool, items: Sequence[LaterItem]) -> None:
    """Insert rows; one that is there already stays as it is. Raises DatabaseAway."""
    jobs = [item.job for item in items]
    async with tenant_transaction(pool, {job.tenant_id for job in jobs}) as connection:
        await connection.execute(
            """
            INSERT INTO later (tenant_id, due_at, delivery_id, attempt, why, source, site, job, rcpt)
            SELECT i.tenant_id, to_timestamp(i.due_at), i.delivery_id, i.attempt, i.why, i.source, i.site, i.job, i.rcpt
            FROM unnest($1::uuid[], $2::float8[], $3::text[], $4::int[], $5::text[], $6::text[], $7::text[], $8::bytea[], $9::text[])
                 AS i (tenant_id, due_at, delivery_id, attempt, why, source, site, job, rcpt)
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
            [suppression_key(job.rcpt) for job in jobs],
        )


async def claim_due(pool: Pool, most: int, lease: timedelta) -> list[LaterRow]:
    """Lease up to `most` rows that are due by the database's clock, oldest first. Raises DatabaseAway."""
    async with pool.acquire() as connection:
        rows = await connection.fetch(
            "SELECT tenant_id, due_at, delivery_id, attempt, why, job, leased_before FROM later_claim($1, $2)", most, lease
        )
    return [_row(*row) for row in rows]


async def forget(pool: Pool, keys: Collection[LaterKey]) -> None:
    """Delete rows of which all that follows is confirmed. Raises DatabaseAway."""
    async with tenant_transaction(pool, {key.tenant_id for key in keys}) as connection:
        await connection.execute("SELECT later_forget($1, $2, $3, $4)", *_columns(keys))


async def read_mark(pool: Pool) -> Mark:
    """Return how far the last sweep came. Raises DatabaseAway."""
    async with pool.acquire() as connection:
        row = await connection.fetchrow("SELECT looked_at, now() FROM later_sweep")
    assert row is not None
    return Mark(*row)


async def move_mark(pool: Pool, to: datetime) -> None:
    """Say that a sweep came so far, unless another came further. Raises DatabaseAway."""
    async with pool.acquire() as connection:
        await connection.execute("UPDATE later_sweep SET looked_at = $1 WHERE looked_at < $1", to)


async def suppressed_since(pool: Pool, since: datetime) -> AsyncIterator[set[tuple[str, str]]]:
    """Yield the (tenant, address) of suppressions inserted since then, page by page. Raises DatabaseAway."""
    last = since, UUID(int=0), ""
    while True:
        async with pool.acquire() as connection:
            rows = await connection.fetch(
                "SELECT noted_at, tenant_id, address FROM suppressions_noted($1, $2, $3, $4, $5)", since, *last, RECIPIENTS
            )
        if rows:
            yield {(str(tenant_id), address) for _, tenant_id, address in rows}
            last = rows[-1]["noted_at"], rows[-1]["tenant_id"], rows[-1]["address"]
        if len(rows) < RECIPIENTS:
            return


async def suspended_tenants_waiting(pool: Pool) -> list[str]:
    """Return the suspended tenants with mail that waits. Raises DatabaseAway."""
    async with pool.acquire() as connection:
        rows = await connection.fetch("SELECT id FROM suspended_tenants_waiting($1) AS id", SOON)
    return [str(tenant_id) for (tenant_id,) in rows]


async def waiting_for(pool: Pool, recipients: Collection[tuple[str, str]]) -> AsyncIterator[list[LaterRow]]:
    """Yield the rows not yet due of these (tenant, suppression key), page by page. Raises DatabaseAway.

    Where two of these tenants write to one address, rows of both may come though only one was asked for.
    """
    last, full = _FIRST, bool(recipients)
    while full:
        async with tenant_transaction(pool, {tenant_id for tenant_id, _ in recipients}) as connection:
            rows = await connection.fetch(
                """
                SELECT tenant_id, due_at, delivery_id, attempt, why, job, leased_before
                FROM later_waiting_for($1, $2, $3::uuid, $4, $5, $6, $7)
                """,
                [address for _, address in recipients],
                SOON,
                *last,
                ROWS,
            )
        if rows:
            found = [_row(*row) for row in rows]
            yield found
            last = found[-1].key
        full = len(rows) == ROWS


async def waiting_of(pool: Pool, tenant_id: str) -> AsyncIterator[list[LaterRow]]:
    """Yield the rows not yet due of a tenant, page by page, the next due first. Raises DatabaseAway."""
    last, full = _FIRST, True
    while full:
        async with tenant_transaction(pool, [tenant_id]) as connection:
            rows = await connection.fetch(
                """
                SELECT tenant_id, due_at, delivery_id, attempt, why, job, lease_until IS NOT NULL FROM later
                WHERE tenant_id = $1::uuid AND due_at > now() + $2::interval
                  AND (due_at, delivery_id, attempt) > ($3::timestamptz, $4::text, $5::int)
                ORDER BY due_at, delivery_id, attempt
                LIMIT $6
                """,
                tenant_id,
                SOON,
                *last[1:],
                ROWS,
            )
        if rows:
            found = [_row(*row) for row in rows]
            yield found
            last = found[-1].key
        full = len(rows) == ROWS


async def lease(pool: Pool, keys: Collection[LaterKey], lease: timedelta) -> list[LaterKey]:
    """Lease rows that are not due yet; return those that are there and that nobody holds. Raises DatabaseAway."""
    async with tenant_transaction(pool, {key.tenant_id for key in keys}) as connection:
        rows = await connection.fetch(
            """
            UPDATE later l SET lease_until = now() + $5::interval
            FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::int[]) AS k (tenant_id, due_at, delivery_id, attempt)
            WHERE l.due_at BETWEEN $6 AND $7 AND l.due_at > now() AND (l.lease_until IS NULL OR l.lease_until < now())
              AND l.tenant_id = k.tenant_id AND l.due_at = k.due_at AND l.delivery_id = k.delivery_id AND l.attempt = k.attempt
            RETURNING l.tenant_id, l.due_at, l.delivery_id, l.attempt
            """,
            *_columns(keys),
            lease,
            min(key.due_at for key in keys),
            max(key.due_at for key in keys),
        )
    return [_key(*row) for row in rows]


def _row(tenant_id: UUID, due_at: datetime, delivery_id: str, attempt: int, why: str, job: bytes, leased: bool) -> LaterRow:
    return LaterRow(_key(tenant_id, due_at, delivery_id, attempt), WhyLater(why), job, leased)


def _key(tenant_id: UUID, due_at: datetime, delivery_id: str, attempt: int) -> LaterKey:
    return LaterKey(str(tenant_id), due_at, delivery_id, attempt)


def _columns(keys: Iterable[LaterKey]) -> tuple[list[str], list[datetime], list[str], list[int]]:
    """The keys as arrays, one for each column."""
    keys = list(keys)
    return [k.tenant_id for k in keys], [k.due_at for k in keys], [k.delivery_id for k in keys], [k.attempt for k in keys]
