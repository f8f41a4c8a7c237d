"""Bring a database to this release's schema; wait for it to be brought there.

`migrate` runs as the administrator (a superuser, or the owner with CREATEROLE and BYPASSRLS), before any service. It is idempotent and
may run many times at once: an advisory lock lets one through. Each file is one transaction: a crash leaves whole files applied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from scaisend_common.plumbing.postgres import DatabaseAway, NotPrepared, Pool, administration
from scaisend_common.schema import store
from scaisend_common.schema.migrations import latest, pending, read_migrations
from scaisend_common.schema.roles import ROLE_SETTINGS, SERVICE_ROLES, scram_verifier

log = structlog.get_logger()

DAYS_AHEAD = 3
SAY_EVERY = 10  # looks


@dataclass(frozen=True, slots=True)
class Migrated:
    """What a run did: the version it came to, the files it applied, how many partitions it made."""

    version: int
    applied: tuple[str, ...]
    partitions: int


async def migrate(
    dsn: str,
    *,
    role_password: str = "",
    role_passwords: Mapping[str, str] | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Migrated:
    """Apply what is missing, make partitions, bind the service roles and give them passwords.

    `role_password` is for all of them, `role_passwords` (by role) for single ones; without one a role's password stays as it is.
    Raises DatabaseAway, NotPrepared, WrongMigrations.
    """
    passwords = dict.fromkeys(SERVICE_ROLES, role_password) | dict(role_passwords or {})
    async with administration(dsn) as connection:
        if not await store.may_migrate(connection):
            raise NotPrepared("migrations run as a superuser, or as a role with BYPASSRLS and CREATEROLE")
        await store.lock_migrations(connection)
        await store.ensure_history(connection)
        history = await store.read_history(connection)
        applied = pending(read_migrations(), history)
        for migration in applied:
            report(f"applying {migration.name}")
            await store.apply_migration(connection, migration)
        partitions = await store.ensure_partitions_ahead(connection, DAYS_AHEAD)
        for role in SERVICE_ROLES:
            for setting, value in ROLE_SETTINGS.items():
                await store.set_role_setting(connection, role, setting, value)
            if passwords[role]:
                await store.set_role_password(connection, role, scram_verifier(passwords[role]))
    version = max([*history, *(migration.version for migration in applied)])
    report(f"schema is at version {version}")
    return Migrated(version, tuple(migration.name for migration in applied), partitions)


async def wait_for_schema(pool: Pool, *, pause: float = 1.0) -> None:
    """Return once the database has at least the schema of this release; wait as long as it takes, also for the database itself.

    For `first=` of `service.run`.
    """
    needed = latest()
    looks = 0
    while True:
        try:
            version = await store.read_version(pool)
            if version >= needed:
                return
            why = f"schema is at version {version}, this release needs {needed}: run `scaisend migrate`"
        except DatabaseAway as away:
            why = str(away)
        if looks % SAY_EVERY == 0:
            log.warning("waiting_for_schema", why=why)
        looks += 1
        await asyncio.sleep(pause)
