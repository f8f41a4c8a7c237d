"""SQL of the api: who calls, what they may send from, what became of their mail."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from scaisend_api.grant import Grant
from scaisend_api.timeline import DeliveryRow, EventRow
from scaisend_common.mail.ids import DeliveryId, SubmissionId, made_at
from scaisend_common.messages import Stream
from scaisend_common.plumbing.postgres import Connection, Pool, tenant_transaction


@dataclass(frozen=True, slots=True)
class VerifiedDomains:
    """The domains that a tenant may put into From."""

    tenant_id: str
    names: frozenset[str]


async def find_key(pool: Pool, key_id: str) -> Grant | None:
    """Return what a key grants, or None where there is no such key or it was revoked. Raises DatabaseAway."""
    async with pool.acquire() as connection:
        row = await connection.fetchrow(
            "SELECT tenant_id, scopes, mac, pepper_kid, stream, tenant_state FROM api_key_lookup($1)",
            key_id,
        )
    if row is None:
        return None
    return Grant(
        tenant_id=str(row["tenant_id"]),
        key_id=key_id,
        scopes=frozenset(row["scopes"]),
        stream=Stream(row["stream"]) if row["stream"] else None,
        is_suspended=row["tenant_state"] != "active",
        mac=row["mac"],
        pepper_kid=row["pepper_kid"],
    )


async def verified_domains(pool: Pool, tenant_id: str) -> VerifiedDomains:
    """Return a tenant's verified domains. Raises DatabaseAway."""
    async with tenant_transaction(pool, [tenant_id]) as connection:
        rows = await connection.fetch(
            "SELECT domain FROM sender_domains WHERE tenant_id = $1 AND verified_at IS NOT NULL",
            UUID(tenant_id),
        )
    return VerifiedDomains(tenant_id, frozenset(row["domain"] for row in rows))


async def is_recorded(pool: Pool, tenant_id: str, submission: SubmissionId) -> bool:
    """Tell whether anything is recorded of a submission: then the broker has had it. Raises DatabaseAway."""
    async with tenant_transaction(pool, [tenant_id]) as connection:
        found = await connection.fetchval(
            """
            SELECT EXISTS (
                SELECT FROM messages
                WHERE tenant_id = $1 AND day = $2
                    AND delivery_id BETWEEN $3 || '.0.0' AND $3 || '.9999.9999' AND starts_with(delivery_id, $3 || '.')
            )
            """,
            UUID(tenant_id),
            made_at(submission).date(),
            submission,
        )
    return bool(found)


async def read_submission(pool: Pool, tenant_id: str, day: date, submission: SubmissionId) -> list[DeliveryRow]:
    """Return the deliveries of a submission with their events, in the order of the request; none where nothing is recorded."""
    async with tenant_transaction(pool, [tenant_id]) as connection:
        # Between: served by the primary key under any collation, of which some fold case; starts_with: exact.
        rows = await connection.fetch(
            """
            SELECT delivery_id
            FROM messages
            WHERE tenant_id = $1 AND day = $2
                AND delivery_id BETWEEN $3 || '.0.0' AND $3 || '.9999.9999' AND starts_with(delivery_id, $3 || '.')
            """,
            UUID(tenant_id),
            day,
            submission,
        )
        return await _read_deliveries(connection, tenant_id, day, [row["delivery_id"] for row in rows])


async def read_delivery(pool: Pool, tenant_id: str, day: date, delivery: DeliveryId) -> DeliveryRow | None:
    """Return one delivery with its events, or None where nothing is recorded of it."""
    async with tenant_transaction(pool, [tenant_id]) as connection:
        return next(iter(await _read_deliveries(connection, tenant_id, day, [delivery])), None)


async def _read_deliveries(connection: Connection, tenant_id: str, day: date, deliveries: list[DeliveryId]) -> list[DeliveryRow]:
    messages = await connection.fetch(
        """
        SELECT delivery_id, to_email, from_email, subject, state, origin, last_event_at
        FROM messages
        WHERE tenant_id = $1 AND day = $2 AND delivery_id = ANY ($3)
        """,
        UUID(tenant_id),
        day,
        deliveries,
    )
    # The wire event again, from columns and `details`. Bodies from before migration 0010 are whole events, and count as they are.
    events = await connection.fetch(
        """
        SELECT e.delivery_id, e.kind, e.at, jsonb_build_object(
            'type', e.kind, 'event_id', e.event_id, 'tenant_id', e.tenant_id, 'delivery_id', e.delivery_id,
            'at', extract(epoch FROM e.at), 'email', m.to_email, 'attempt', e.attempt) || e.body AS body
        FROM events e JOIN messages m USING (tenant_id, day, delivery_id)
        WHERE e.tenant_id = $1 AND e.day = $2 AND e.delivery_id = ANY ($3)
        ORDER BY e.at, e.attempt, e.event_id
        """,
        UUID(tenant_id),
        day,
        deliveries,
    )
    of: dict[str, list[EventRow]] = {delivery: [] for delivery in deliveries}
    for event in events:
        of[event["delivery_id"]].append(EventRow(event["kind"], event["at"], event["body"]))
    return [
        DeliveryRow(
            delivery_id=row["delivery_id"],
            to_email=row["to_email"],
            from_email=row["from_email"],
            subject=row["subject"],
            state=row["state"],
            origin=row["origin"] or "{}",
            last_event_at=row["last_event_at"],
            events=tuple(of[row["delivery_id"]]),
        )
        for row in messages
    ]
