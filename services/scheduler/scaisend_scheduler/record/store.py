"""SQL of record: one transaction per part of a batch."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from scaisend_common.mail.events import Event, details
from scaisend_common.plumbing.postgres import Connection, Pool, tenant_transaction
from scaisend_scheduler.record.folding import Count, MessageChange, Statistic, Suppression, event_day, fold, suppression_of

_encode = msgspec.json.Encoder().encode
_NUL = b"\\u0000"


async def record_events(pool: Pool, events: Sequence[Event]) -> tuple[int, list[Suppression]]:
    """Write the events that are not yet known, and what they change. Raises DatabaseAway.

    Returns how many were new, and the suppressions that events of this batch, new or known, have caused and that still stand: their
    stops are due even where a former try died between commit and stop.
    """
    async with tenant_transaction(pool, {event.tenant_id for event in events}) as connection:
        new = await insert_events(connection, events)
        changes = fold(new)
        await merge_messages(connection, changes.messages)
        await insert_suppressions(connection, changes.suppressions)
        standing = await still_suppressed(connection, [s for event in events if (s := suppression_of(event))])
        await add_counts(connection, changes.counts)
    return len(new), standing


async def insert_events(connection: Connection, events: Sequence[Event]) -> list[Event]:
    """Insert events, in the order of their key; return those that were not there yet, each once."""
    keyed = {(event.tenant_id, event.delivery_id, event.event_id): event for event in events}
    keys = sorted(keyed)
    rows = [keyed[key] for key in keys]
    inserted = await connection.fetch(
        """
        INSERT INTO events (tenant_id, day, event_id, delivery_id, kind, attempt, at, body)
        SELECT e.tenant_id, e.day, e.event_id, e.delivery_id, e.kind, e.attempt, to_timestamp(e.at), e.body::jsonb
        FROM unnest($1::uuid[], $2::date[], $3::text[], $4::text[], $5::text[], $6::int[], $7::float8[], $8::text[])
             AS e (tenant_id, day, event_id, delivery_id, kind, attempt, at, body)
        ON CONFLICT (tenant_id, day, delivery_id, event_id) DO NOTHING
        RETURNING tenant_id::text, delivery_id, event_id
        """,
        [event.tenant_id for event in rows],
        [event_day(event) for event in rows],
        [event.event_id for event in rows],
        [event.delivery_id for event in rows],
        [str(event.__struct_config__.tag) for event in rows],
        [event.attempt for event in rows],
        [event.at for event in rows],
        [storable_json(details(event)) for event in rows],
    )
    return [keyed[key] for key in map(tuple, inserted)]


async def merge_messages(connection: Connection, changes: Sequence[MessageChange]) -> None:
    """Insert or advance messages; a state only ever advances (see folding)."""
    await connection.execute(
        """
        INSERT INTO messages AS m (tenant_id, day, delivery_id, to_email, from_email, subject, state, attempt, rank, origin, message_id,
                                   accepted_at, last_event_at)
        SELECT c.tenant_id, c.day, c.delivery_id, c.to_email, c.from_email, c.subject, c.state, c.attempt, c.rank, c.origin::jsonb,
               c.message_id, to_timestamp(c.accepted_at), to_timestamp(c.last_event_at)
        FROM unnest($1::uuid[], $2::date[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int[], $9::smallint[],
                    $10::text[], $11::text[], $12::float8[], $13::float8[])
             AS c (tenant_id, day, delivery_id, to_email, from_email, subject, state, attempt, rank, origin, message_id, accepted_at,
                   last_event_at)
        ON CONFLICT (tenant_id, day, delivery_id) DO UPDATE SET
            state = CASE WHEN (EXCLUDED.rank / 10, EXCLUDED.attempt, EXCLUDED.rank) > (m.rank / 10, m.attempt, m.rank)
                         THEN EXCLUDED.state ELSE m.state END,
            attempt = CASE WHEN (EXCLUDED.rank / 10, EXCLUDED.attempt, EXCLUDED.rank) > (m.rank / 10, m.attempt, m.rank)
                           THEN EXCLUDED.attempt ELSE m.attempt END,
            rank = CASE WHEN (EXCLUDED.rank / 10, EXCLUDED.attempt, EXCLUDED.rank) > (m.rank / 10, m.attempt, m.rank)
                        THEN EXCLUDED.rank ELSE m.rank END,
            from_email = CASE WHEN m.origin IS NULL THEN EXCLUDED.from_email ELSE m.from_email END,
            subject = CASE WHEN m.origin IS NULL THEN EXCLUDED.subject ELSE m.subject END,
            origin = coalesce(m.origin, EXCLUDED.origin),
            message_id = CASE WHEN m.message_id = '' THEN EXCLUDED.message_id ELSE m.message_id END,
            last_event_at = greatest(m.last_event_at, EXCLUDED.last_event_at)
        """,
        [c.tenant_id for c in changes],
        [c.day for c in changes],
        [c.delivery_id for c in changes],
        [storable(c.to_email) for c in changes],
        [storable(c.origin.from_email) if c.origin else "" for c in changes],
        [storable(c.origin.subject) if c.origin else "" for c in changes],
        [c.state.name for c in changes],
        [c.state.attempt for c in changes],
        [c.state.rank for c in changes],
        [storable_json(replace(c.origin, from_email="", subject="")) if c.origin else None for c in changes],
        [storable(c.message_id) for c in changes],
        [c.accepted_at for c in changes],
        [c.last_event_at for c in changes],
    )


async def insert_suppressions(connection: Connection, suppressions: Sequence[Suppression]) -> None:
    """Insert suppressions; one that stands already keeps its first reason."""
    if not suppressions:
        return
    await connection.execute(
        """
        INSERT INTO suppressions (tenant_id, address, kind, reason, status, created_at)
        SELECT s.tenant_id, s.address, s.kind, s.reason, s.status, to_timestamp(s.at)
        FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::float8[])
             AS s (tenant_id, address, kind, reason, status, at)
        ON CONFLICT (tenant_id, address, kind) DO NOTHING
        """,
        [s.tenant_id for s in suppressions],
        [storable(s.address) for s in suppressions],
        [s.kind for s in suppressions],
        [storable(s.reason) for s in suppressions],
        [storable(s.status) for s in suppressions],
        [s.at for s in suppressions],
    )


async def still_suppressed(connection: Connection, suppressions: Sequence[Suppression]) -> list[Suppression]:
    """Return those of the suppressions that the table has (its owner may have removed one since)."""
    if not suppressions:
        return []
    rows = await connection.fetch(
        """
        SELECT s.tenant_id, s.address, s.kind
        FROM unnest($1::uuid[], $2::text[], $3::text[]) AS c (tenant_id, address, kind)
        JOIN suppressions s ON s.tenant_id = c.tenant_id AND s.address = c.address AND s.kind = c.kind
        """,
        [s.tenant_id for s in suppressions],
        [storable(s.address) for s in suppressions],
        [s.kind for s in suppressions],
    )
    standing = {(str(tenant_id), address, kind) for tenant_id, address, kind in rows}
    return [s for s in suppressions if (s.tenant_id, storable(s.address), s.kind) in standing]


async def add_counts(connection: Connection, counts: Sequence[Count]) -> None:
    """Move the statistics. The last statement: the lock on a tenant's row of the day is held for the commit alone."""
    await connection.execute(
        """
        INSERT INTO stats_daily AS d (tenant_id, day, processed, delivered, deferred, bounces, blocks, drops, spam_reports, unknowns)
        SELECT c.tenant_id, c.day, c.processed, c.delivered, c.deferred, c.bounces, c.blocks, c.drops, c.spam_reports, c.unknowns
        FROM unnest($1::uuid[], $2::date[], $3::int[], $4::int[], $5::int[], $6::int[], $7::int[], $8::int[], $9::int[], $10::int[])
             AS c (tenant_id, day, processed, delivered, deferred, bounces, blocks, drops, spam_reports, unknowns)
        ON CONFLICT (tenant_id, day) DO UPDATE SET
            processed = d.processed + EXCLUDED.processed,
            delivered = d.delivered + EXCLUDED.delivered,
            deferred = d.deferred + EXCLUDED.deferred,
            bounces = d.bounces + EXCLUDED.bounces,
            blocks = d.blocks + EXCLUDED.blocks,
            drops = d.drops + EXCLUDED.drops,
            spam_reports = d.spam_reports + EXCLUDED.spam_reports,
            unknowns = d.unknowns + EXCLUDED.unknowns
        """,
        [c.tenant_id for c in counts],
        [c.day for c in counts],
        *([c.of[name] for c in counts] for name in Statistic),
    )


def storable(text: str) -> str:
    """Return the text as Postgres can keep it: NUL, which remote servers do send, becomes U+FFFD."""
    return text.replace("\x00", "\ufffd") if "\x00" in text else text


def storable_json(value: object) -> str:
    """Return the JSON text of an event's details or of an origin as jsonb can keep it."""
    body = _encode(value)
    if _NUL in body:
        body = _encode(_without_nul(msgspec.to_builtins(value)))
    return body.decode()


def _without_nul(value: object) -> object:
    match value:
        case str():
            return storable(value)
        case dict():
            return {storable(key): _without_nul(each) for key, each in value.items()}
        case list() | tuple():
            return [_without_nul(each) for each in value]
        case _:
            return value
