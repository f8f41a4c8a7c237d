"""SQL of webhook-fanout: reads endpoints and origins, writes the posts that wait for another try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from scaisend_common.mail.events import Origin
from scaisend_common.mail.ids import DeliveryId, made_at, submission_of
from scaisend_common.plumbing.crypto import KeyRing, open_sealed
from scaisend_common.plumbing.postgres import Pool, tenant_transaction
from scaisend_webhook_fanout.endpoint import Endpoint
from scaisend_webhook_fanout.signature import signing_key


@dataclass(frozen=True, slots=True)
class StoredPost:
    """A post that failed before: the same bytes are tried again."""

    tenant_id: str
    post_id: UUID
    endpoint_id: str
    body: bytes
    tries: int
    expires_at: datetime


def bound_to(tenant_id: str, endpoint_id: str) -> str:
    """What a sealed signing key is bound to."""
    return f"webhook|{tenant_id}|{endpoint_id}"


async def read_endpoints(pool: Pool, kek: KeyRing, tenant_id: str) -> tuple[Endpoint, ...]:
    """Return the enabled endpoints of a tenant that is not suspended."""
    async with tenant_transaction(pool, [tenant_id]) as connection:
        rows = await connection.fetch(
            """
            SELECT e.id, e.url, e.kinds, e.signed, e.sealed_key, e.kek_kid
            FROM webhook_endpoints e
            WHERE e.tenant_id = $1 AND e.enabled AND e.url <> ''
            ORDER BY e.created_at
            """,
            UUID(tenant_id),
        )
    return tuple(
        Endpoint(
            tenant_id=tenant_id,
            endpoint_id=str(row["id"]),
            url=row["url"],
            kinds=frozenset(row["kinds"]),
            key=signing_key(open_sealed(kek, row["kek_kid"], row["sealed_key"], bound_to(tenant_id, str(row["id"]))))
            if row["signed"]
            else None,
        )
        for row in rows
    )


async def read_origins(pool: Pool, tenant_id: str, deliveries: Sequence[DeliveryId]) -> dict[DeliveryId, tuple[Origin, str]]:
    """Return what the senders said of these deliveries, with the Message-ID: for events whose maker did not know it."""
    async with tenant_transaction(pool, [tenant_id]) as connection:
        rows = await connection.fetch(
            """
            SELECT m.delivery_id, m.origin, m.message_id
            FROM messages m
            JOIN unnest($2::date[], $3::text[]) AS wanted (day, delivery_id) ON m.day = wanted.day AND m.delivery_id = wanted.delivery_id
            WHERE m.tenant_id = $1 AND m.origin IS NOT NULL
            """,
            UUID(tenant_id),
            [made_at(submission_of(delivery)).date() for delivery in deliveries],
            list(deliveries),
        )
    return {row["delivery_id"]: (msgspec.json.decode(row["origin"], type=Origin), row["message_id"]) for row in rows}


async def keep(pool: Pool, post: StoredPost, *, due_at: datetime, last_error: str) -> None:
    """Store a post for another try. At that instant its events no longer depend on the broker: their messages may be acked."""
    async with tenant_transaction(pool, [post.tenant_id]) as connection:
        await connection.execute(
            """
            INSERT INTO webhook_batches (tenant_id, id, endpoint_id, body, tries, due_at, expires_at, last_error)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
            ON CONFLICT (tenant_id, id) DO UPDATE
            SET tries = excluded.tries, due_at = excluded.due_at, last_error = excluded.last_error, lease_until = NULL
            """,
            UUID(post.tenant_id),
            post.post_id,
            UUID(post.endpoint_id),
            post.body,
            post.tries,
            due_at,
            post.expires_at,
            last_error,
        )


async def claim_due(pool: Pool, most: int, lease: timedelta) -> list[StoredPost]:
    """Lease up to `most` posts that are due, of all tenants, oldest first."""
    async with pool.acquire() as connection:
        rows = await connection.fetch(
            "SELECT tenant_id, id, endpoint_id, body, tries, expires_at FROM webhook_batches_claim($1, $2)", most, lease
        )
    return [
        StoredPost(
            tenant_id=str(row["tenant_id"]),
            post_id=row["id"],
            endpoint_id=str(row["endpoint_id"]),
            body=row["body"],
            tries=row["tries"],
            expires_at=row["expires_at"].astimezone(UTC),
        )
        for row in rows
    ]


async def forget(pool: Pool, post: StoredPost) -> None:
    """Delete a stored post: it was taken, has expired, or its endpoint is gone."""
    async with tenant_transaction(pool, [post.tenant_id]) as connection:
        await connection.execute("DELETE FROM webhook_batches WHERE tenant_id = $1 AND id = $2", UUID(post.tenant_id), post.post_id)
