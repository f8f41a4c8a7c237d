"""The second wall: whatever a service asks, Postgres shows it the rows of the tenants that its transaction named, and no others."""

from uuid import UUID, uuid4

import asyncpg
import pytest

from scaisend_common.plumbing.postgres import administration, open_pool, tenant_transaction
from scaisend_common.schema.roles import SERVICE_ROLES, SERVICES

TENANT_TABLES = """
    SELECT c.oid::regclass::text AS name, c.relrowsecurity, c.relforcerowsecurity,
           (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid) AS policies,
           (SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
            WHERE i.indrelid = c.oid AND i.indisprimary) AS first_of_key
    FROM pg_class c
    JOIN pg_attribute t ON t.attrelid = c.oid AND t.attname = 'tenant_id' AND NOT t.attisdropped
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
    ORDER BY 1
"""


@pytest.fixture
async def admin(postgres_dsn):
    async with administration(postgres_dsn) as connection:
        yield connection


FILL = """
    INSERT INTO users (tenant_id, email) VALUES ($1, 'a@b.c');
    INSERT INTO api_keys (tenant_id, key_id, name, scopes, mac, pepper_kid) VALUES ($1, $2, '', '{}', '', '');
    INSERT INTO sender_domains (tenant_id, domain, challenge, return_path_host) VALUES ($1, 'a.test', '', '');
    INSERT INTO dkim_keys (tenant_id, domain, selector, sealed_key, kek_kid, public_key) VALUES ($1, 'a.test', 's', '', '', '');
    INSERT INTO suppressions (tenant_id, address, kind, created_at) VALUES ($1, 'a@b.c', 'bounce', now());
    INSERT INTO messages (tenant_id, day, delivery_id, to_email, state, rank, accepted_at, last_event_at)
        VALUES ($1, current_date, 'd', 'a@b.c', 'processed', 1, now(), now());
    INSERT INTO events (tenant_id, day, event_id, delivery_id, kind, attempt, at, body) VALUES ($1, current_date, 'e', 'd', 'processed', 0, now(), '{}');
    INSERT INTO stats_daily (tenant_id, day) VALUES ($1, current_date);
    INSERT INTO later (tenant_id, due_at, delivery_id, attempt, why, source, site, job) VALUES ($1, now(), 'd', 1, '', '', '', '');
    INSERT INTO blobs (tenant_id, day, submission_id, n, content) VALUES ($1, current_date, 's', 0, '');
    INSERT INTO webhook_endpoints (tenant_id) VALUES ($1);
    INSERT INTO webhook_batches (tenant_id, id, endpoint_id, body, tries, due_at, expires_at, last_error)
        VALUES ($1, gen_random_uuid(), gen_random_uuid(), '', 0, now(), now(), '')
"""


@pytest.fixture
async def two_tenants(admin) -> tuple[UUID, UUID]:
    """Two tenants with a row each in every tenant table; the keys are kkk…k0 and kkk…k1."""
    partner = await admin.fetchval("INSERT INTO partners (slug, name) VALUES ($1, '') RETURNING id", f"p-{uuid4().hex[:8]}")
    made = []
    for n in range(2):
        tenant = await admin.fetchval(
            "INSERT INTO tenants (partner_id, slug, name) VALUES ($1, $2, '') RETURNING id", partner, f"t-{uuid4().hex[:8]}"
        )
        for statement in FILL.split(";"):
            await admin.execute(statement, tenant, *(["k" * 21 + str(n)] if "$2" in statement else []))
        made.append(tenant)
    return made[0], made[1]


async def test_every_tenant_table_is_walled_and_keyed_by_tenant_first(admin) -> None:
    tables = await admin.fetch(TENANT_TABLES)
    assert len(tables) >= 12
    for table in tables:
        assert table["relrowsecurity"], table
        assert table["relforcerowsecurity"], table
        assert table["policies"] == 1, table
        assert table["first_of_key"] == "tenant_id", table


async def test_a_wall_asks_for_the_tenants_once_per_statement_not_once_per_row(admin) -> None:
    slow = await admin.fetch(
        """
        SELECT p.polrelid::regclass::text AS name FROM pg_policy p
        WHERE pg_get_expr(p.polqual, p.polrelid) NOT LIKE '%SELECT app_tenants()%'
           OR pg_get_expr(p.polwithcheck, p.polrelid) NOT LIKE '%SELECT app_tenants()%'
        """
    )
    assert [row["name"] for row in slow] == []


async def test_every_table_names_its_writer(admin) -> None:
    silent = await admin.fetch(
        """
        SELECT c.relname FROM pg_class c
        WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
          AND coalesce(obj_description(c.oid), '') !~ '^writers?: '
        """
    )
    assert [row["relname"] for row in silent] == []


async def test_service_roles_own_nothing_and_pass_no_wall(admin) -> None:
    roles = await admin.fetch(
        "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = ANY ($1)", list(SERVICE_ROLES)
    )
    assert {row["rolname"] for row in roles} == set(SERVICE_ROLES)
    for row in roles:
        assert not any(value for name, value in row.items() if name != "rolname"), row
    assert (
        await admin.fetchval(
            "SELECT count(*) FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE r.rolname = ANY ($1)", list(SERVICE_ROLES)
        )
        == 0
    )
    assert (
        await admin.fetchval(
            "SELECT count(*) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member WHERE r.rolname = ANY ($1)", list(SERVICE_ROLES)
        )
        == 0
    )


async def test_functions_that_look_across_tenants_are_nobodys_by_default(admin) -> None:
    open_to_all = await admin.fetch(
        """
        SELECT p.oid::regprocedure::text AS name FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef AND has_function_privilege('public', p.oid, 'EXECUTE')
        """
    )
    assert [row["name"] for row in open_to_all] == []


async def test_functions_that_look_across_tenants_fix_their_search_path(admin) -> None:
    loose = await admin.fetch(
        """
        SELECT p.oid::regprocedure::text AS name FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef
          AND NOT EXISTS (SELECT FROM unnest(p.proconfig) setting WHERE setting LIKE 'search_path=%')
        """
    )
    assert [row["name"] for row in loose] == []


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_sees_the_rows_of_its_tenants_and_no_others(service, admin, two_tenants, service_dsn) -> None:
    mine, _ = two_tenants
    readable = [
        row["name"]
        for row in await admin.fetch(TENANT_TABLES)
        if await admin.fetchval("SELECT has_table_privilege($1, $2, 'SELECT')", f"scaisend_{service}", row["name"])
    ]
    assert readable
    async with open_pool(service_dsn(service), name="test") as pool:
        for table in readable:
            async with pool.acquire() as connection:
                assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0, table  # noqa: S608
            async with tenant_transaction(pool, [mine]) as connection:
                assert await connection.fetchval(f"SELECT array_agg(tenant_id) FROM {table}") == [mine], table  # noqa: S608
            async with tenant_transaction(pool, [uuid4()]) as connection:
                assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0, table  # noqa: S608
        async with tenant_transaction(pool, [mine]) as connection:
            assert await connection.fetchval("SELECT array_agg(id) FROM tenants") == [mine]


async def test_a_row_cannot_be_written_into_another_tenant(two_tenants, service_dsn) -> None:
    mine, theirs = two_tenants
    async with open_pool(service_dsn("scheduler"), name="test") as pool:
        async with tenant_transaction(pool, [mine]) as connection:
            assert await connection.execute("DELETE FROM later") == "DELETE 1"
            assert await connection.execute("UPDATE suppressions SET reason = 'x' WHERE tenant_id = $1", theirs) == "UPDATE 0"
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await _suppress_as(pool, mine, theirs)


async def test_no_service_reads_keys_or_partitions_around_the_wall(admin, service_dsn) -> None:
    for role in SERVICE_ROLES:
        assert not await admin.fetchval("SELECT has_table_privilege($1, 'api_keys', 'SELECT')", role)
        direct = await admin.fetchval(
            "SELECT count(*) FROM pg_class c WHERE c.relispartition AND c.relkind = 'r' AND has_table_privilege($1, c.oid, 'SELECT')", role
        )
        assert direct == 0
    opens_dkim_keys = [
        role for role in SERVICE_ROLES if await admin.fetchval("SELECT has_table_privilege($1, 'dkim_keys', 'SELECT')", role)
    ]
    assert opens_dkim_keys == ["scaisend_deliverer"]


async def test_a_key_is_found_by_its_id_alone(two_tenants, service_dsn) -> None:
    mine, _ = two_tenants
    async with open_pool(service_dsn("api"), name="test") as pool, pool.acquire() as connection:
        found = await connection.fetchrow("SELECT * FROM api_key_lookup($1)", "k" * 21 + "0")
        assert (found["tenant_id"], found["tenant_state"]) == (mine, "active")
        assert await connection.fetchrow("SELECT * FROM api_key_lookup($1)", "k" * 22) is None


async def _suppress_as(pool, named: UUID, written: UUID) -> None:
    async with tenant_transaction(pool, [named]) as connection:
        await connection.execute(
            "INSERT INTO suppressions (tenant_id, address, kind, created_at) VALUES ($1, 'x@y.z', 'bounce', now())", written
        )
