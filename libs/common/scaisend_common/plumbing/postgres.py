"""Postgres pools and tenant-scoped transactions. The only module beside store.py files that imports asyncpg.

A pool opens without the server being there: a service starts, and goes on, while Postgres is away. Whatever asyncpg raises for "the
database did not do it, and may later" becomes DatabaseAway here; all other errors are bugs and rise as they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeAlias
from uuid import UUID

import asyncpg
import structlog

log = structlog.get_logger()

CONNECT_SECONDS = 4.0
COMMAND_SECONDS = 30.0
PROBE_SECONDS = 2.0

# Beside OSError and TimeoutError: connection gone or refused, start-up, shut-down, no slots, role or database not made yet, a standby
# that was just the primary; and what a repetition cures: statement and lock time-outs, deadlocks, serialization.
OUTAGES: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.PostgresSystemError,
    asyncpg.LockNotAvailableError,
    asyncpg.TransactionRollbackError,
    asyncpg.InternalClientError,  # the server's farewell met the beginning of a query
)

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


class DatabaseAway(Exception):
    """The database did not do it: nothing was changed, or (when a commit was under way) perhaps all of it. May work later."""


class NotPrepared(Exception):
    """An administrator's statement cannot be done here: the schema is missing, or the role may not do it."""


@contextmanager
def outages_translated() -> Iterator[None]:
    """Turn what asyncpg raises when the database is away into DatabaseAway."""
    try:
        yield
    except OUTAGES as error:
        raise DatabaseAway(f"{type(error).__name__}: {error}") from error
    except asyncpg.InterfaceError as error:
        if not any(word in str(error) for word in ("closed", "closing", "released")):  # anything else is a mistake in the call
            raise
        raise DatabaseAway(str(error)) from error


class _Connection(asyncpg.Connection):
    """A connection that costs no round trip to give back: nothing here outlives its transaction."""

    def get_reset_query(self) -> str:
        return ""


class Pool:
    """A pool of connections; an async context manager. Entering it opens nothing; connections are made when first needed."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], name: str) -> None:
        self._pool = pool
        self._name = name
        self._ready: bool | None = None  # not looked yet
        self._probe: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Pool:
        await self._pool  # min_size is 0: no connection yet
        self._probe = asyncio.create_task(self._keep_probing(), name=f"probe of {self._name}")
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._probe:
            self._probe.cancel()
            await asyncio.wait({self._probe})
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    @property
    def is_ready(self) -> bool:
        """The last look found the database there."""
        return self._ready is True

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """Lend a connection outside of any tenant: it sees no row of a tenant table. Raises DatabaseAway, from its body too."""
        with outages_translated():
            async with self._pool.acquire(timeout=CONNECT_SECONDS) as connection:
                yield connection

    async def _keep_probing(self) -> None:
        while True:
            try:
                async with self.acquire() as connection:
                    await connection.execute("SELECT 1", timeout=CONNECT_SECONDS)
                self._note(ready=True, why="")
            except DatabaseAway as away:
                self._note(ready=False, why=str(away))
            await asyncio.sleep(PROBE_SECONDS)

    def _note(self, *, ready: bool, why: str) -> None:
        if ready and not self._ready:
            log.info("database_there", pool=self._name)
        elif not ready and self._ready is not False:
            log.warning("database_away", pool=self._name, why=why)
        self._ready = ready

    def __repr__(self) -> str:
        return f"<Pool {self._name}: {'ready' if self._ready else 'away'}, {self._pool.get_size()} connections>"


def open_pool(dsn: str, *, name: str, max_size: int = 8, statement_cache: int = 100, command_seconds: float = COMMAND_SECONDS) -> Pool:
    """Return a pool, to be entered with `async with`. `statement_cache=0` suits a PgBouncer that knows no prepared statements."""
    return Pool(
        asyncpg.create_pool(
            dsn,
            min_size=0,
            max_size=max_size,
            timeout=CONNECT_SECONDS,
            command_timeout=command_seconds,
            statement_cache_size=statement_cache,
            connection_class=_Connection,
            server_settings={"application_name": name, "timezone": "UTC"},
        ),
        name,
    )


@asynccontextmanager
async def tenant_transaction(pool: Pool, tenants: Iterable[str | UUID]) -> AsyncIterator[Connection]:
    """Open a transaction that sees the rows of these tenants and no others; commit at its end, roll back on an exception.

    Raises DatabaseAway; ValueError where a tenant id is no uuid.
    """
    ids = sorted({str(UUID(str(tenant))) for tenant in tenants})
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT set_config('app.tenants', $1, true)", f"{{{','.join(ids)}}}")
        yield connection


@asynccontextmanager
async def administration(dsn: str) -> AsyncIterator[Connection]:
    """Open one connection for administration (migrations, the command line). Raises DatabaseAway, NotPrepared."""
    with outages_translated():
        connection = await asyncpg.connect(
            dsn, timeout=CONNECT_SECONDS, server_settings={"application_name": "scaisend", "timezone": "UTC"}
        )
        try:
            yield connection
        except (asyncpg.UndefinedTableError, asyncpg.UndefinedFunctionError) as error:
            raise NotPrepared(f"{error}: run `scaisend migrate` first") from error
        except asyncpg.InsufficientPrivilegeError as error:
            raise NotPrepared(f"{error}: POSTGRES_DSN must name an administrator") from error
        finally:
            await connection.close(timeout=CONNECT_SECONDS)
