"""Databases of a private Postgres: made, copied from a template, dropped."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit, urlunsplit

import asyncpg

ROLE_PASSWORD = "scaisend"  # noqa: S105 - of a server that listens on loopback and holds what developers made up


def at(dsn: str, database: str, role: str = "", password: str = ROLE_PASSWORD) -> str:
    """The same server, another database, and another role where one is given."""
    parts = urlsplit(dsn)
    host = parts.netloc.rpartition("@")[2]
    netloc = f"{role}:{password}@{host}" if role else parts.netloc
    return urlunsplit(parts._replace(netloc=netloc, path=f"/{database}"))


def name_of(dsn: str) -> str:
    """The database that a DSN names."""
    return urlsplit(dsn).path.removeprefix("/")


def ensure(dsn: str) -> bool:
    """Make the database that the DSN names; return False where it stands already (then nothing else is asked of the server)."""
    return asyncio.run(_ensure(dsn))


def create(dsn: str, database: str, *, template: str = "template0") -> bool:
    """Make a database; return False where it stands already."""
    return asyncio.run(_create(dsn, database, template))


def drop(dsn: str, database: str) -> None:
    """Drop a database, whoever is connected to it."""
    asyncio.run(_execute(dsn, f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)'))


async def _ensure(dsn: str) -> bool:
    try:
        await (await asyncpg.connect(dsn)).close()
    except asyncpg.InvalidCatalogNameError:
        return await _create(dsn, name_of(dsn), "template0")
    return False


async def _create(dsn: str, database: str, template: str) -> bool:
    try:
        await _execute(dsn, f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
    except asyncpg.DuplicateDatabaseError:
        return False
    return True


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(at(dsn, "postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
