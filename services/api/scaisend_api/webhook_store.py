"""SQL of the webhook settings: the table webhook_endpoints, of which a tenant's oldest row is the one without id."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID, uuid4

from scaisend_api.webhook_form import EndpointForm
from scaisend_common.plumbing.postgres import Connection, Pool, tenant_transaction


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A signing key as it is stored."""

    kek_kid: str
    sealed: bytes
    public_key: str


async def read_form(pool: Pool, tenant_id: str) -> EndpointForm:
    """Return a tenant's settings, an empty form where there are none. Raises DatabaseAway."""
    async with tenant_transaction(pool, [tenant_id]) as connection:
        return (await _oldest(connection, tenant_id))[1]


async def write_form(pool: Pool, tenant_id: str, change: Callable[[EndpointForm], EndpointForm | str]) -> EndpointForm | str:
    """Change a tenant's settings as `change` says, or return what it complains of. Two at a time wait for each other."""
    async with tenant_transaction(pool, [tenant_id]) as connection:
        endpoint, form = await _locked(connection, tenant_id)
        new = change(form)
        if isinstance(new, str):
            return new
        await connection.execute(
            """
            INSERT INTO webhook_endpoints (tenant_id, id, url, enabled, kinds) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (tenant_id, id) DO UPDATE
            SET url = excluded.url, enabled = excluded.enabled, kinds = excluded.kinds, updated_at = now()
            """,
            UUID(tenant_id),
            endpoint,
            new.url,
            new.enabled,
            sorted(new.kinds),
        )
    return new


async def write_signing(pool: Pool, tenant_id: str, new_key: Callable[[str], SealedKey] | None) -> EndpointForm:
    """Switch signing on with a key made for the endpoint's id, unless it is on; or off, for None: that key is gone for good."""
    async with tenant_transaction(pool, [tenant_id]) as connection:
        endpoint, form = await _locked(connection, tenant_id)
        if form.is_signed == (new_key is not None):
            return form
        key = new_key(str(endpoint)) if new_key else None
        await connection.execute(
            """
            INSERT INTO webhook_endpoints (tenant_id, id, signed, sealed_key, kek_kid, public_key) VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (tenant_id, id) DO UPDATE
            SET signed = excluded.signed, sealed_key = excluded.sealed_key, kek_kid = excluded.kek_kid, public_key = excluded.public_key,
                updated_at = now()
            """,
            UUID(tenant_id),
            endpoint,
            key is not None,
            key.sealed if key else None,
            key.kek_kid if key else "",
            key.public_key if key else "",
        )
        return (await _oldest(connection, tenant_id))[1]


async def _locked(connection: Connection, tenant_id: str) -> tuple[UUID, EndpointForm]:
    """The endpoint's id, a new one where there is none yet, and its form; held until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('webhook_endpoints|' || $1, 0))", tenant_id)
    endpoint, form = await _oldest(connection, tenant_id)
    return endpoint or uuid4(), form


async def _oldest(connection: Connection, tenant_id: str) -> tuple[UUID | None, EndpointForm]:
    row = await connection.fetchrow(
        """
        SELECT id, url, enabled, kinds, signed, public_key
        FROM webhook_endpoints
        WHERE tenant_id = $1
        ORDER BY created_at, id
        LIMIT 1
        """,
        UUID(tenant_id),
    )
    if row is None:
        return None, EndpointForm()
    form = EndpointForm(row["enabled"], row["url"], frozenset(row["kinds"]), is_signed=row["signed"], public_key=row["public_key"])
    return row["id"], form
