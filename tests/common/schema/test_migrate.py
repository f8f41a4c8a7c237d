import asyncio
from uuid import uuid4

import pytest

from scaisend_common.plumbing.postgres import DatabaseAway, administration, open_pool
from scaisend_common.schema.migrate import migrate, wait_for_schema
from scaisend_common.schema.migrations import WrongMigrations, latest
from scaisend_common.schema.roles import ROLE_SETTINGS, SERVICE_ROLES


@pytest.fixture
async def empty_dsn(postgres_dsn):
    """A database of the same server with nothing in it."""
    name = f"empty_{uuid4().hex[:12]}"
    async with administration(postgres_dsn) as admin:
        await admin.execute(f"CREATE DATABASE {name}")
        yield f"{postgres_dsn.rpartition('/')[0]}/{name}"
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def test_many_runners_at_once_apply_each_file_once(empty_dsn) -> None:
    told: list[str] = []
    runs = await asyncio.gather(*(migrate(empty_dsn, report=told.append) for _ in range(4)))
    assert {run.version for run in runs} == {latest()}
    assert sum(len(run.applied) for run in runs) == latest()
    assert sum(line.startswith("applying") for line in told) == latest()
    again = await migrate(empty_dsn)
    assert (again.applied, again.partitions) == ((), 0)


async def test_partitions_reach_three_days_ahead_and_a_default_one_catches_the_rest(empty_dsn) -> None:
    await migrate(empty_dsn)
    async with administration(empty_dsn) as admin:
        for parent, column in (("messages", "day"), ("events", "day"), ("blobs", "day")):
            found = await admin.fetch(
                "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = $1::regclass", parent
            )
            names = {row["relname"] for row in found}
            days = await admin.fetch("SELECT to_char(current_date + n, 'YYYYMMDD') AS day FROM generate_series(-1, 3) n")
            assert {f"{parent}_{row['day']}" for row in days} <= names, column
            assert f"{parent}_default" in names
        due = await admin.fetchval("SELECT to_char((now() + interval '72 hours') AT TIME ZONE 'UTC', 'YYYYMMDDHH24')")
        assert await admin.fetchval("SELECT to_regclass($1) IS NOT NULL", f"later_{due}")


async def test_an_edited_migration_stops_the_runner(empty_dsn) -> None:
    await migrate(empty_dsn)
    async with administration(empty_dsn) as admin:
        await admin.execute("UPDATE schema_migrations SET checksum = 'another' WHERE version = 1")
    with pytest.raises(WrongMigrations):
        await migrate(empty_dsn)


async def test_service_roles_log_in_with_their_passwords_and_are_bound(postgres_dsn, service_dsn) -> None:
    for role in SERVICE_ROLES:
        async with open_pool(service_dsn(role.removeprefix("scaisend_")), name="test") as pool, pool.acquire() as connection:
            assert await connection.fetchval("SELECT current_user") == role
            for setting, value in ROLE_SETTINGS.items():
                shown = await connection.fetchval(f"SHOW {setting}")
                assert shown in (value, value.replace("60s", "1min"))


async def test_migrating_a_database_that_is_away_says_so(free_port) -> None:
    with pytest.raises(DatabaseAway):
        await migrate(f"postgresql://x@127.0.0.1:{free_port()}/none")


async def test_a_service_waits_for_its_schema(empty_dsn, service_dsn) -> None:
    dsn = f"{service_dsn('api').rpartition('/')[0]}/{empty_dsn.rpartition('/')[2]}"
    async with open_pool(dsn, name="test") as pool:
        waiting = asyncio.create_task(wait_for_schema(pool, pause=0.05))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await migrate(empty_dsn)
        async with asyncio.timeout(10):
            await waiting


async def test_a_service_of_a_release_runs_on_a_newer_schema(postgres_dsn, service_dsn) -> None:
    async with administration(postgres_dsn) as admin:
        await admin.execute("INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, 'newer', '')", latest() + 1)
    async with open_pool(service_dsn("api"), name="test") as pool, asyncio.timeout(10):
        await wait_for_schema(pool)
