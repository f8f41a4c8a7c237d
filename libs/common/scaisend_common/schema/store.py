"""SQL of the migration runner."""

from __future__ import annotations

import asyncpg

from scaisend_common.plumbing.postgres import Connection, Pool
from scaisend_common.schema.migrations import Migration

_LOCK = 0x5CA15E4D  # one runner at a time per database
_RACED = "tuple concurrently updated"  # another database of the cluster changed the same role at the same time


async def may_migrate(connection: Connection) -> bool:
    """Tell whether this role's functions will see every tenant, and whether it may make roles."""
    may: bool = await connection.fetchval("SELECT rolsuper OR (rolbypassrls AND rolcreaterole) FROM pg_roles WHERE rolname = current_user")
    return may


async def lock_migrations(connection: Connection) -> None:
    """Wait until no other runner is at work on this database; the lock ends with the connection."""
    await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)


async def ensure_history(connection: Connection) -> None:
    """Make the table that remembers what was applied."""
    await connection.execute(
        """
        CREATE TABLE IF NOT EXISTS schema_migrations (
            version     integer PRIMARY KEY,
            name        text NOT NULL,
            checksum    text NOT NULL,
            applied_at  timestamptz NOT NULL DEFAULT now()
        );
        COMMENT ON TABLE schema_migrations IS 'writer: scaisend migrate. Read by every service at its start.';
        GRANT SELECT ON schema_migrations TO PUBLIC;
        """
    )


async def read_history(connection: Connection) -> dict[int, str]:
    """Return checksums by version."""
    rows = await connection.fetch("SELECT version, checksum FROM schema_migrations")
    return {row["version"]: row["checksum"] for row in rows}


async def apply_migration(connection: Connection, migration: Migration) -> None:
    """Apply one migration and remember it, both or neither."""
    async with connection.transaction():
        await connection.execute(migration.sql)
        await connection.execute(
            "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
            migration.version,
            migration.name,
            migration.checksum,
        )


async def ensure_partitions_ahead(connection: Connection, days: int) -> int:
    """Make the partitions up to `days` ahead of the UTC day; return how many were missing."""
    made: int = await connection.fetchval("SELECT ensure_partitions((now() AT TIME ZONE 'UTC')::date, $1)", days)
    return made


async def set_role_password(connection: Connection, role: str, verifier: str) -> None:
    """Give a role its password, as SCRAM verifier."""
    await _alter_role(connection, "SELECT format('ALTER ROLE %I LOGIN PASSWORD %L', $1::text, $2::text)", role, verifier)


async def set_role_setting(connection: Connection, role: str, setting: str, value: str) -> None:
    """Bind every later session of a role, unless it is bound so already."""
    bound: bool = await connection.fetchval(
        """
        SELECT EXISTS (
            SELECT FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole
            WHERE r.rolname = $1 AND s.setdatabase = 0 AND $2 = ANY (s.setconfig)
        )
        """,
        role,
        f"{setting}={value}",
    )
    if not bound:
        await _alter_role(connection, "SELECT format('ALTER ROLE %I SET %I = %L', $1::text, $2::text, $3::text)", role, setting, value)


async def read_version(pool: Pool) -> int:
    """Return the version of the database's schema; 0 where it has none yet."""
    async with pool.acquire() as connection:
        if await connection.fetchval("SELECT to_regclass('public.schema_migrations') IS NULL"):
            return 0
        version: int = await connection.fetchval("SELECT coalesce(max(version), 0) FROM schema_migrations")
    return version


async def _alter_role(connection: Connection, form: str, *values: str) -> None:
    """Roles belong to the whole cluster, out of reach of the lock: a race with another database's runner is run again."""
    statement: str = await connection.fetchval(form, *values)
    for tries in range(20):
        try:
            await connection.execute(statement)
        except asyncpg.InternalServerError as error:
            if _RACED not in str(error) or tries == 19:
                raise
            await connection.execute("SELECT pg_sleep(0.05)")
        else:
            return
