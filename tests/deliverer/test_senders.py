"""Senders, from the real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.deliverer.database import KEK, execute, make_domain, make_tenants
from tests.deliverer.making import DOMAIN, OTHER, TENANT, a_job

from scaisend_common.plumbing.postgres import DatabaseAway, Pool, open_pool
from scaisend_deliverer.bars import reason_to_drop
from scaisend_deliverer.senders import FRESH, STALE, CannotSign, Senders, candidates
from scaisend_deliverer.store import SenderRow, find_sender


@pytest.fixture
async def pool(postgres_dsn: str, service_dsn: Callable[[str], str]) -> AsyncIterator[Pool]:
    await make_tenants(postgres_dsn)
    async with open_pool(service_dsn("deliverer"), name="test") as opened:
        yield opened


async def test_a_verified_domain_signs_for_itself_and_below(pool: Pool) -> None:
    senders = Senders(partial(find_sender, pool), KEK)
    sender = await senders.of(TENANT, f"mail.shop.{DOMAIN}")
    assert sender.key.domain == DOMAIN
    assert sender.key.selector == "s1"
    assert sender.return_path_host == f"bounces.{DOMAIN}"
    assert sender.tenant_number > 0


async def test_the_nearest_verified_domain_signs(pool: Pool, postgres_dsn: str) -> None:
    await make_domain(postgres_dsn, f"shop.{DOMAIN}")
    await make_domain(postgres_dsn, f"new.shop.{DOMAIN}", verified=False)
    senders = Senders(partial(find_sender, pool), KEK)
    assert (await senders.of(TENANT, f"new.shop.{DOMAIN}")).key.domain == f"shop.{DOMAIN}"


async def test_nobody_signs_for_another(pool: Pool) -> None:
    senders = Senders(partial(find_sender, pool), KEK)
    with pytest.raises(CannotSign):
        await senders.of(OTHER, DOMAIN)
    with pytest.raises(CannotSign):
        await senders.of(TENANT, f"not{DOMAIN}")


async def test_a_new_key_is_used_after_a_flush(pool: Pool, postgres_dsn: str) -> None:
    senders = Senders(partial(find_sender, pool), KEK)
    old = await senders.of(TENANT, DOMAIN)
    await execute(postgres_dsn, "UPDATE dkim_keys SET active = false")
    assert (await senders.of(TENANT, DOMAIN)) is old
    senders.forget(TENANT)
    with pytest.raises(CannotSign):
        await senders.of(TENANT, DOMAIN)


async def test_what_is_known_serves_for_an_hour_while_postgres_is_away(pool: Pool) -> None:
    now, away = 0.0, False

    async def find(tenant_id: str, domains: Sequence[str]) -> SenderRow | None:
        if away:
            raise DatabaseAway("gone")
        return await find_sender(pool, tenant_id, domains)

    senders = Senders(find, KEK, clock=lambda: now)
    known = await senders.of(TENANT, DOMAIN)
    away, now = True, FRESH + 1
    assert await senders.of(TENANT, DOMAIN) is known
    senders.forget()
    assert await senders.of(TENANT, DOMAIN) is known
    with pytest.raises(DatabaseAway):
        await senders.of(TENANT, "unknown.test")
    now = STALE + 1
    with pytest.raises(DatabaseAway):
        await senders.of(TENANT, DOMAIN)


async def test_a_key_that_did_not_change_is_not_parsed_again(pool: Pool) -> None:
    now = 0.0
    senders = Senders(partial(find_sender, pool), KEK, clock=lambda: now)
    known = await senders.of(TENANT, DOMAIN)
    now = FRESH + 1
    assert await senders.of(TENANT, DOMAIN) is known


async def test_a_sender_in_use_is_read_anew_before_it_gets_old_and_nobody_waits(pool: Pool, postgres_dsn: str) -> None:
    now = 0.0
    senders = Senders(partial(find_sender, pool), KEK, clock=lambda: now)
    old = await senders.of(TENANT, DOMAIN)
    await execute(postgres_dsn, "UPDATE dkim_keys SET active = false")
    now = FRESH - 1
    assert await senders.of(TENANT, DOMAIN) is old
    await asyncio.sleep(0.5)
    with pytest.raises(CannotSign):
        await senders.of(TENANT, DOMAIN)


async def test_what_was_read_while_it_was_forgotten_is_read_again(pool: Pool) -> None:
    asked, may_answer = 0, asyncio.Event()

    async def find(tenant_id: str, domains: Sequence[str]) -> SenderRow | None:
        nonlocal asked
        asked += 1
        row = await find_sender(pool, tenant_id, domains)
        await may_answer.wait()
        return row

    senders = Senders(find, KEK)
    first = asyncio.create_task(senders.of(TENANT, DOMAIN))
    await asyncio.sleep(0.1)
    senders.forget(TENANT)
    may_answer.set()
    await first
    await senders.of(TENANT, DOMAIN)
    await senders.of(TENANT, DOMAIN)
    assert asked == 2


async def test_postgres_says_what_is_stopped(pool: Pool, postgres_dsn: str) -> None:
    job = a_job(to="Gone@plain.test")
    assert await reason_to_drop(pool, job) is None
    await execute(
        postgres_dsn,
        "INSERT INTO suppressions (tenant_id, address, kind, created_at) VALUES ($1::uuid, 'gone@plain.test', 'bounce', now())",
        TENANT,
    )
    assert await reason_to_drop(pool, job) == "Bounced Address"
    await execute(postgres_dsn, "UPDATE tenants SET state = 'suspended'")
    assert await reason_to_drop(pool, job) == "Account Suspended"


@given(st.lists(st.sampled_from(["a", "b", "shop", "test", "co"]), min_size=1, max_size=6))
def test_only_a_domain_and_those_above_it_are_candidates(labels: list[str]) -> None:
    domain = ".".join(labels)
    found = candidates(domain)
    assert found[0] == domain
    assert all(domain == each or domain.endswith("." + each) for each in found)
    assert len(labels) == 1 or all("." in each for each in found)
