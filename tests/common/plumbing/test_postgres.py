import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest

from scaisend_common.plumbing.postgres import DatabaseAway, administration, open_pool, tenant_transaction


async def end_in_use(pool, postgres_dsn: str) -> None:
    async with pool.acquire() as connection:
        backend = await connection.fetchval("SELECT pg_backend_pid()")
        async with administration(postgres_dsn) as admin:
            await admin.execute("SELECT pg_terminate_backend($1)", backend)
        await connection.execute("SELECT 1")


async def suppress_and_fail(pool, tenant: UUID) -> None:
    async with tenant_transaction(pool, [tenant]) as connection:
        await connection.execute(
            "INSERT INTO suppressions (tenant_id, address, kind, created_at) VALUES ($1, 'a@b.c', 'bounce', now())", tenant
        )
        _ = 1 // 0


async def test_a_pool_opens_while_the_database_is_away_and_says_so(free_port) -> None:
    async with open_pool(f"postgresql://user:pw@127.0.0.1:{free_port()}/none", name="test") as pool:
        assert not pool.is_ready
        with pytest.raises(DatabaseAway):
            async with pool.acquire():
                pass
        assert not pool.is_ready


async def test_a_pool_finds_the_database_when_it_comes(service_dsn) -> None:
    async with open_pool(service_dsn("api"), name="test") as pool:
        async with asyncio.timeout(10):
            while not pool.is_ready:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert "ready" in repr(pool)


async def test_a_role_or_database_that_is_not_made_yet_is_an_outage(service_dsn) -> None:
    for dsn in (service_dsn("api") + "_not_yet", service_dsn("api").replace("scaisend_api", "scaisend_nobody")):
        async with open_pool(dsn, name="test") as pool:
            with pytest.raises(DatabaseAway):
                async with pool.acquire():
                    pass


async def test_a_connection_that_the_server_ends_is_an_outage_and_the_next_one_works(service_dsn, postgres_dsn) -> None:
    async with open_pool(service_dsn("api"), name="test", max_size=1) as pool:
        with pytest.raises(DatabaseAway):
            await end_in_use(pool, postgres_dsn)
        async with pool.acquire() as connection:
            assert await connection.fetchval("SELECT 1") == 1


async def test_a_mistake_in_a_statement_is_no_outage(service_dsn) -> None:
    async with open_pool(service_dsn("api"), name="test") as pool:
        with pytest.raises(asyncpg.PostgresSyntaxError):
            async with pool.acquire() as connection:
                await connection.execute("SELEKT 1")
        with pytest.raises(asyncpg.InterfaceError):
            async with pool.acquire() as connection:
                await connection.fetch("SELECT $1::int", 1, 2)


async def test_a_statement_that_takes_too_long_is_an_outage(service_dsn) -> None:
    async with open_pool(service_dsn("api"), name="test", command_seconds=0.2) as pool:
        with pytest.raises(DatabaseAway):
            async with pool.acquire() as connection:
                await connection.execute("SELECT pg_sleep(5)")


async def test_no_connection_left_is_an_outage_within_seconds(service_dsn) -> None:
    async with open_pool(service_dsn("api"), name="test", max_size=1) as pool, pool.acquire():
        with pytest.raises(DatabaseAway):
            async with pool.acquire():
                pass


async def test_a_tenant_transaction_names_its_tenants_and_nothing_outlives_it(service_dsn) -> None:
    one, other = uuid4(), uuid4()
    async with open_pool(service_dsn("api"), name="test", max_size=1) as pool:
        async with tenant_transaction(pool, [str(one), other, str(one)]) as connection:
            assert sorted(await connection.fetchval("SELECT app_tenants()")) == sorted([one, other])
        async with tenant_transaction(pool, []) as connection:
            assert await connection.fetchval("SELECT app_tenants()") == []
        async with pool.acquire() as connection:
            assert await connection.fetchval("SELECT app_tenants()") == []


async def test_a_tenant_transaction_rolls_back_on_an_exception(service_dsn, postgres_dsn) -> None:
    tenant = uuid4()
    async with open_pool(service_dsn("scheduler"), name="test") as pool:
        with pytest.raises(ZeroDivisionError):
            await suppress_and_fail(pool, tenant)
        async with tenant_transaction(pool, [tenant]) as connection:
            assert await connection.fetchval("SELECT count(*) FROM suppressions") == 0


async def test_what_is_no_tenant_id_never_reaches_the_database(service_dsn) -> None:
    async with open_pool(service_dsn("api"), name="test") as pool:
        with pytest.raises(ValueError):
            async with tenant_transaction(pool, ["*"]):
                pass


async def test_a_bouncer_without_prepared_statements_is_served(service_dsn) -> None:
    async with open_pool(service_dsn("api"), name="test", statement_cache=0) as pool, pool.acquire() as connection:
        assert await connection.fetchval("SELECT $1::int", 7) == 7
