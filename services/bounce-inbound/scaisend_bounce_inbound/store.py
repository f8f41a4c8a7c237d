"""SQL of bounce-inbound: reads what a report is about, keeps what is none."""

from __future__ import annotations

from uuid import UUID

import msgspec
from msgspec.structs import replace

from scaisend_bounce_inbound.decide import Delivery
from scaisend_common.mail.events import Origin
from scaisend_common.mail.ids import DeliveryId, made_at, submission_of
from scaisend_common.plumbing.postgres import Pool, tenant_transaction

ROLE_MAIL_BYTES = 256 * 1024  # of a mail: the newest 10,000 are kept, and strangers decide how large they are


async def tenant_of(pool: Pool, number: int) -> str | None:
    """Return the id of the tenant with this number, or None."""
    async with pool.acquire() as connection:
        found = await connection.fetchval("SELECT tenant_of_number($1)", number)
    return str(found) if found else None


async def read_delivery(pool: Pool, tenant_id: str, delivery_id: DeliveryId) -> Delivery | None:
    """Return the delivery as the timeline knows it, or None where it is not (no longer) kept."""
    async with tenant_transaction(pool, [tenant_id]) as connection:
        row = await connection.fetchrow(
            """
            SELECT to_email, from_email, subject, origin, message_id
            FROM messages
            WHERE tenant_id = $1 AND day = $2 AND delivery_id = $3
            """,
            UUID(tenant_id),
            made_at(submission_of(delivery_id)).date(),
            delivery_id,
        )
    if row is None:
        return None
    origin = msgspec.json.decode(row["origin"], type=Origin) if row["origin"] else None
    return Delivery(
        tenant_id=tenant_id,
        delivery_id=delivery_id,
        email=row["to_email"],
        origin=replace(origin, from_email=row["from_email"], subject=row["subject"]) if origin else None,
        message_id=row["message_id"],
    )


async def keep_role_mail(pool: Pool, peer: str, mail: bytes) -> None:
    """Keep a mail to postmaster or abuse, or as much of it as somebody reads, for the operator. At that instant it is ours."""
    async with pool.acquire() as connection:
        await connection.execute("SELECT keep_role_mail($1, $2)", peer, mail[:ROLE_MAIL_BYTES])
