from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import pytest
from tests.scheduler.database import make_tenants, rows, suppress
from tests.scheduler.making import OTHER, TENANT, an_id

from scaisend_common.mail.address import Address
from scaisend_common.mail.ids import delivery_id
from scaisend_common.plumbing.postgres import DatabaseAway, Pool, open_pool
from scaisend_common.plumbing.redis import Redis, connect
from scaisend_common.stops import EPOCH, address_stop, tenant_stop
from scaisend_scheduler.periodic import Periodic
from scaisend_scheduler.upkeep import store
from scaisend_scheduler.upkeep.housekeeping import UNACCOUNTED, Housekeeping
from scaisend_scheduler.upkeep.refill import Refill

TODAY = datetime.now(UTC).date()


@pytest.fixture
async def pool(service_dsn: Callable[[str], str]) -> AsyncIterator[Pool]:
    async with open_pool(service_dsn("scheduler"), name="test") as opened:
        yield opened


@pytest.fixture
async def ledger(ledger_url: str) -> AsyncIterator[Redis]:
    async with connect(ledger_url) as client:
        yield client


async def tables(dsn: str, pattern: str) -> set[str]:
    return {r[0] for r in await rows(dsn, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ $1", pattern)}


async def insert_message(dsn: str, days_ago: float, rank: int = 0, origin: str = "{}") -> None:
    at = datetime.now(UTC) - timedelta(days=days_ago)
    await rows(
        dsn,
        """
        INSERT INTO messages (tenant_id, day, delivery_id, to_email, state, rank, origin, accepted_at, last_event_at)
        VALUES ($1::uuid, $2, $3, 'ann@plain.test', 'processed', $4, $5::jsonb, $6, $6)
        """,
        TENANT,
        at.date(),
        delivery_id(an_id(), 0, 0),
        rank,
        origin,
        at,
    )


async def test_partitions_reach_three_days_ahead_and_making_them_again_changes_nothing(pool: Pool, postgres_dsn: str) -> None:
    await store.ensure_partitions(pool, 3)
    for parent in ("messages", "events", "blobs"):
        assert f"{parent}_{TODAY + timedelta(days=3):%Y%m%d}" in await tables(postgres_dsn, f"^{parent}_")
    assert f"later_{TODAY + timedelta(days=3):%Y%m%d}23" in await tables(postgres_dsn, "^later_")
    assert await store.ensure_partitions(pool, 3) == 0


async def test_a_missing_partition_is_made_although_the_default_one_has_taken_its_rows(pool: Pool, postgres_dsn: str) -> None:
    today = f"messages_{TODAY:%Y%m%d}"
    await rows(postgres_dsn, f"DROP TABLE {today}")
    await insert_message(postgres_dsn, 0)
    assert await store.count_in_default_partitions(pool) == 1
    assert await store.ensure_partitions(pool, 3) == 1
    assert await store.count_in_default_partitions(pool) == 0
    assert (await rows(postgres_dsn, f"SELECT count(*) FROM {today}"))[0][0] == 1  # noqa: S608
    with pytest.raises(Exception, match="duplicate key"):
        await rows(postgres_dsn, "INSERT INTO messages SELECT * FROM messages")


async def test_each_partition_of_messages_leaves_room_for_a_second_version(pool: Pool, postgres_dsn: str) -> None:
    await rows(postgres_dsn, f"DROP TABLE messages_{TODAY:%Y%m%d}, messages_{TODAY + timedelta(days=1):%Y%m%d}")
    await insert_message(postgres_dsn, 0)
    assert await store.ensure_partitions(pool, 3) == 2  # one of them in the way that moves rows
    options = await rows(
        postgres_dsn, "SELECT reloptions FROM pg_partition_tree('messages') p JOIN pg_class c ON c.oid = p.relid WHERE p.isleaf"
    )
    assert {tuple(each[0] or ()) for each in options} == {("fillfactor=50",)}


async def test_old_partitions_go_and_the_kept_days_stay(pool: Pool, postgres_dsn: str) -> None:
    for parent in ("messages", "events", "blobs"):
        for days in (9, 12, 31):
            day = TODAY - timedelta(days=days)
            name = f"{parent}_{day:%Y%m%d}"
            await rows(
                postgres_dsn, f"CREATE TABLE {name} PARTITION OF {parent} FOR VALUES FROM ('{day}') TO ('{day + timedelta(days=1)}')"
            )
    assert await store.drop_partitions(pool, 30, 10) == 4
    left = {name for name in await tables(postgres_dsn, "_[0-9]{8}$") if name.rpartition("_")[2] < f"{TODAY - timedelta(days=8):%Y%m%d}"}
    assert left == {
        f"{parent}_{TODAY - timedelta(days=days):%Y%m%d}"
        for parent, days in (("messages", 9), ("messages", 12), ("events", 9), ("events", 12), ("blobs", 9))
    }


async def test_a_past_hour_of_later_goes_only_when_it_is_empty(pool: Pool, postgres_dsn: str) -> None:
    for day in (4, 5):
        start = datetime.combine(TODAY - timedelta(days=day), datetime.min.time(), UTC)
        name = f"later_{start:%Y%m%d%H}"
        await rows(postgres_dsn, f"CREATE TABLE {name} PARTITION OF later FOR VALUES FROM ('{start}') TO ('{start + timedelta(hours=1)}')")
    await rows(
        postgres_dsn,
        "INSERT INTO later (tenant_id, due_at, delivery_id, attempt, why, source, site, job) VALUES ($1::uuid, $2, 'd', 1, 'retry', '', '', '')",
        TENANT,
        start,
    )
    assert await store.drop_partitions(pool, 30, 10) == 1
    assert f"{name}" in await tables(postgres_dsn, "^later_")


async def test_a_delivery_that_never_ended_is_counted_and_one_that_waits_for_its_send_at_is_not(pool: Pool, postgres_dsn: str) -> None:
    send_at = (datetime.now(UTC) - timedelta(days=1)).timestamp()
    await insert_message(postgres_dsn, 4)
    await insert_message(postgres_dsn, 4, rank=11)
    await insert_message(postgres_dsn, 4, origin=f'{{"send_at": {send_at:.0f}}}')
    await insert_message(postgres_dsn, 1)
    await Housekeeping(pool, 30).keep_house()
    assert UNACCOUNTED._value.get() == 1


async def test_a_new_ledger_gets_its_epoch_and_all_stops_once(pool: Pool, ledger: Redis, postgres_dsn: str) -> None:
    await make_tenants(postgres_dsn)
    await suppress(postgres_dsn, "ann@plain.test", "bounce")
    await suppress(postgres_dsn, "bob@plain.test", "unsubscribe", OTHER)
    await rows(postgres_dsn, "UPDATE tenants SET state = 'suspended' WHERE id = $1::uuid", OTHER)
    refill = Refill(pool, ledger, now=lambda: 1234.5)
    assert await refill.refill_if_new()
    assert await ledger.get(address_stop(TENANT, Address("ann", "plain.test"))) == b"Bounced Address"
    assert await ledger.get(address_stop(OTHER, Address("bob", "plain.test"))) == b"Unsubscribed Address"
    assert await ledger.exists(tenant_stop(OTHER)) == 1
    assert await ledger.exists(tenant_stop(TENANT)) == 0
    assert await ledger.get(EPOCH) == b"1234.500"
    assert not await refill.refill_if_new()


async def test_a_ledger_with_an_epoch_is_left_alone(pool: Pool, ledger: Redis, postgres_dsn: str) -> None:
    await suppress(postgres_dsn, "ann@plain.test", "bounce")
    await ledger.set(EPOCH, "99.000")
    assert not await Refill(pool, ledger).refill_if_new()
    assert await ledger.get(EPOCH) == b"99.000"
    assert await ledger.exists(address_stop(TENANT, Address("ann", "plain.test"))) == 0


async def test_a_ledger_that_is_emptied_during_its_refill_gets_no_epoch_before_the_next_one(
    pool: Pool, ledger: Redis, postgres_dsn: str
) -> None:
    await suppress(postgres_dsn, "ann@plain.test", "bounce")
    refill = Refill(pool, ledger)
    write = refill._write_stops

    async def emptied_meanwhile() -> int:
        await ledger.flushdb()
        return await write()

    refill._write_stops = emptied_meanwhile  # type: ignore[method-assign]
    assert not await refill.refill_if_new()
    assert await ledger.get(EPOCH) is None
    assert await Refill(pool, ledger).refill_if_new()


async def test_two_refills_at_once_begin_one_epoch(pool: Pool, ledger: Redis) -> None:
    began = await asyncio.gather(*(Refill(pool, ledger, now=lambda at=at: at).refill_if_new() for at in (5.0, 6.0)))  # type: ignore[misc]
    assert sorted(began) == [False, True]
    assert await ledger.get(EPOCH) in (b"5.000", b"6.000")


async def test_suppressions_are_read_page_by_page_and_each_once(pool: Pool, postgres_dsn: str) -> None:
    await rows(
        postgres_dsn,
        "INSERT INTO suppressions (tenant_id, address, kind, created_at) SELECT $1::uuid, 'u' || n || '@x.test', 'bounce', now() FROM generate_series(1, $2) n",
        TENANT,
        store.PAGE + 10,
    )
    pages = [page async for page in store.recent_suppressions(pool, timedelta(days=10))]
    assert [len(page) for page in pages] == [store.PAGE, 10]
    assert len({each.address for page in pages for each in page}) == store.PAGE + 10


async def test_work_is_tried_again_soon_after_an_outage_and_ends_when_told(free_port: Callable[[], int]) -> None:
    tries = 0

    async def work() -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise DatabaseAway("not yet")

    periodic = Periodic("test", work, every=timedelta(hours=1), retry=timedelta(milliseconds=10))
    running = asyncio.create_task(periodic.run())
    await asyncio.sleep(0.3)
    assert tries == 3
    await periodic.stop()
    await running
