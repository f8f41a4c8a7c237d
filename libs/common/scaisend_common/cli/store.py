"""SQL of the command line: who sends. Run as the administrator, who sees every tenant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from scaisend_common.cli.records import DkimKey, SenderDomain
from scaisend_common.plumbing.postgres import Connection

Listed = list[dict[str, object]]


class Exists(Exception):
    """A row with this name is there already."""


@dataclass(frozen=True, slots=True)
class NewDomain:
    """What `insert_domain` writes: the domain, its challenge, and its first DKIM key, sealed."""

    domain: str
    challenge: str
    return_path_host: str
    selector: str
    sealed_key: bytes
    kek_kid: str
    public_key: str


async def insert_partner(connection: Connection, slug: str, name: str) -> UUID:
    """Add a partner; return its id. Raises Exists."""
    return await _inserted(connection, "INSERT INTO partners (slug, name) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING id", slug, name)


async def find_partner(connection: Connection, slug: str) -> UUID | None:
    """Return the id of a partner."""
    return await _found(connection, "SELECT id FROM partners WHERE slug = $1 OR id::text = $1", slug)


async def list_partners(connection: Connection) -> Listed:
    """Return all partners."""
    return _listed(
        await connection.fetch(
            """
            SELECT p.id::text, p.slug, p.name, p.created_at, count(t.id) AS tenants
            FROM partners p LEFT JOIN tenants t ON t.partner_id = p.id
            GROUP BY p.id ORDER BY p.slug
            """
        )
    )


async def insert_tenant(connection: Connection, partner_id: UUID, slug: str, name: str, *, at_most_once: bool) -> UUID:
    """Add a tenant; return its id. Raises Exists."""
    return await _inserted(
        connection,
        """
        INSERT INTO tenants (partner_id, slug, name, at_most_once) VALUES ($1, $2, $3, $4)
        ON CONFLICT (slug) DO NOTHING RETURNING id
        """,
        partner_id,
        slug,
        name,
        at_most_once,
    )


async def find_tenant(connection: Connection, slug: str) -> UUID | None:
    """Return the id of a tenant, named by slug or id."""
    return await _found(connection, "SELECT id FROM tenants WHERE slug = $1 OR id::text = $1", slug)


async def list_tenants(connection: Connection) -> Listed:
    """Return all tenants."""
    return _listed(
        await connection.fetch(
            """
            SELECT t.id::text, t.slug, t.name, p.slug AS partner, t.number, t.state, t.at_most_once, t.created_at
            FROM tenants t JOIN partners p ON p.id = t.partner_id ORDER BY t.slug
            """
        )
    )


async def set_tenant_state(connection: Connection, tenant_id: UUID, state: str) -> bool:
    """Suspend or resume; return whether that changed anything. At its commit the tenant is refused at the API."""
    return await connection.fetchval("UPDATE tenants SET state = $2 WHERE id = $1 AND state <> $2 RETURNING true", tenant_id, state) is True


async def insert_user(connection: Connection, tenant_id: UUID, email: str, name: str) -> UUID:
    """Add a user of a tenant; return the id. Raises Exists."""
    return await _inserted(
        connection,
        "INSERT INTO users (tenant_id, email, name) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING id",
        tenant_id,
        email,
        name,
    )


async def find_user(connection: Connection, tenant_id: UUID, email: str) -> UUID | None:
    """Return the id of a user."""
    return await _found(connection, "SELECT id FROM users WHERE tenant_id = $1 AND email = $2", tenant_id, email)


async def list_users(connection: Connection, tenant_id: UUID) -> Listed:
    """Return a tenant's users."""
    return _listed(
        await connection.fetch("SELECT id::text, email, name, created_at FROM users WHERE tenant_id = $1 ORDER BY email", tenant_id)
    )


async def insert_key(
    connection: Connection, tenant_id: UUID, key_id: str, name: str, scopes: Sequence[str], mac: bytes, pepper_kid: str, stream: str | None
) -> None:
    """Add an API key."""
    await connection.execute(
        "INSERT INTO api_keys (tenant_id, key_id, name, scopes, mac, pepper_kid, stream) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        tenant_id,
        key_id,
        name,
        list(scopes),
        mac,
        pepper_kid,
        stream,
    )


async def list_keys(connection: Connection, tenant_id: UUID) -> Listed:
    """Return a tenant's keys, without what would open anything."""
    return _listed(
        await connection.fetch(
            "SELECT key_id, name, scopes, stream, created_at, revoked_at FROM api_keys WHERE tenant_id = $1 ORDER BY created_at", tenant_id
        )
    )


async def revoke_key(connection: Connection, tenant_id: UUID, key_id: str) -> bool:
    """Revoke a key; return whether there was one to revoke."""
    found = await connection.fetchval(
        "UPDATE api_keys SET revoked_at = now() WHERE tenant_id = $1 AND key_id = $2 AND revoked_at IS NULL RETURNING true",
        tenant_id,
        key_id,
    )
    return found is True


async def insert_domain(connection: Connection, tenant_id: UUID, new: NewDomain) -> None:
    """Add a sender domain with its first DKIM key, both or neither. Raises Exists."""
    async with connection.transaction():
        await _inserted(
            connection,
            """
            INSERT INTO sender_domains (tenant_id, domain, challenge, return_path_host) VALUES ($1, $2, $3, $4)
            ON CONFLICT (tenant_id, domain) DO NOTHING RETURNING tenant_id
            """,
            tenant_id,
            new.domain,
            new.challenge,
            new.return_path_host,
        )
        await connection.execute(
            "INSERT INTO dkim_keys (tenant_id, domain, selector, sealed_key, kek_kid, public_key) VALUES ($1, $2, $3, $4, $5, $6)",
            tenant_id,
            new.domain,
            new.selector,
            new.sealed_key,
            new.kek_kid,
            new.public_key,
        )


async def read_domain(connection: Connection, tenant_id: UUID, domain: str) -> SenderDomain | None:
    """Return a tenant's domain with its active DKIM keys."""
    row = await connection.fetchrow(
        "SELECT challenge, return_path_host, verified_at FROM sender_domains WHERE tenant_id = $1 AND domain = $2", tenant_id, domain
    )
    if row is None:
        return None
    keys = await connection.fetch(
        "SELECT selector, public_key FROM dkim_keys WHERE tenant_id = $1 AND domain = $2 AND active ORDER BY selector", tenant_id, domain
    )
    dkim = tuple(DkimKey(key["selector"], key["public_key"]) for key in keys)
    return SenderDomain(domain, row["challenge"], row["return_path_host"], dkim, is_verified=row["verified_at"] is not None)


async def list_domains(connection: Connection, tenant_id: UUID) -> Listed:
    """Return a tenant's domains."""
    return _listed(
        await connection.fetch(
            "SELECT domain, return_path_host, verified_at, created_at FROM sender_domains WHERE tenant_id = $1 ORDER BY domain", tenant_id
        )
    )


async def mark_verified(connection: Connection, tenant_id: UUID, domain: str) -> None:
    """Let a tenant send from a domain. Raises Exists where another tenant may already."""
    try:
        await connection.execute(
            "UPDATE sender_domains SET verified_at = now() WHERE tenant_id = $1 AND domain = $2 AND verified_at IS NULL", tenant_id, domain
        )
    except asyncpg.UniqueViolationError:
        raise Exists(domain) from None


async def _inserted(connection: Connection, statement: str, *values: object) -> UUID:
    made = await connection.fetchval(statement, *values)
    if made is None:
        raise Exists(str(values))
    return UUID(str(made))


async def _found(connection: Connection, statement: str, *values: object) -> UUID | None:
    found = await connection.fetchval(statement, *values)
    return None if found is None else UUID(str(found))


def _listed(rows: Sequence[asyncpg.Record]) -> Listed:
    return [dict(row) for row in rows]


async def list_role_mail(connection: Connection, most: int) -> Listed:
    """Return the newest mails to postmaster and abuse."""
    return _listed(
        await connection.fetch("SELECT id, received_at, peer, length(raw) AS octets FROM role_mail ORDER BY id DESC LIMIT $1", most)
    )


async def read_role_mail(connection: Connection, mail_id: int) -> bytes | None:
    """Return one of them as it came."""
    raw: bytes | None = await connection.fetchval("SELECT raw FROM role_mail WHERE id = $1", mail_id)
    return raw
