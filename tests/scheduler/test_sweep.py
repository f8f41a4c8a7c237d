"""The sweep, over the real table and the real broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from msgspec.structs import replace
from tests.scheduler.broker import TOPOLOGY, event_batches_in, jobs_in, publishing
from tests.scheduler.database import make_tenants, rows, suppress
from tests.scheduler.making import OTHER, TENANT, a_job

from scaisend_common.mail.events import Event
from scaisend_common.messages import Job, LaterBatch, LaterItem, WhyLater
from scaisend_common.plumbing.amqp import Ack, Incoming, Publisher, Unavailable
from scaisend_common.plumbing.postgres import Pool, open_pool
from scaisend_scheduler.later.store import ROWS, keep_waiting
from scaisend_scheduler.later.sweep import Sweep
from scaisend_scheduler.later.waiting import WaitingRoom

BYPASS = b'{"mail_settings":{"bypass_list_management":{"enable":true}}}'


@dataclass
class Room:
    pool: Pool
    sweep: Sweep
    amqp_url: str
    dsn: str

    async def keep(self, *items: LaterItem) -> None:
        await keep_waiting(self.pool, items)

    async def swept(self) -> int:
        """Sweep as if the last sweep was a while ago."""
        await rows(self.dsn, "UPDATE later_sweep SET looked_at = looked_at - interval '15 seconds'")
        return await self.sweep.sweep()

    async def told(self) -> dict[str, str]:
        """The reasons of dropped events, by delivery."""
        return {event.delivery_id: event.reason for event in await self.events()}  # type: ignore[union-attr]

    async def events(self) -> list[Event]:
        return [event for batch in await event_batches_in(self.amqp_url) for event in batch.events]

    async def waiting(self) -> set[str]:
        return {row["delivery_id"] for row in await rows(self.dsn, "SELECT delivery_id FROM later")}


@asynccontextmanager
async def opened(dsn: str, admin_dsn: str, publisher: Publisher, amqp_url: str) -> AsyncIterator[Room]:
    await make_tenants(admin_dsn)
    async with open_pool(dsn, name="test") as pool:
        yield Room(pool, Sweep(pool, publisher, TOPOLOGY), amqp_url, admin_dsn)


@pytest.fixture
async def room(broker_url: str, service_dsn: Callable[[str], str], postgres_dsn: str) -> AsyncIterator[Room]:
    async with publishing(broker_url) as publisher, opened(service_dsn("scheduler"), postgres_dsn, publisher, broker_url) as found:
        yield found


def item(rcpt: str = "ann@plain.test", why: WhyLater = WhyLater.RETRY, *, due_in: float = 3600, job: Job | None = None) -> LaterItem:
    return LaterItem(time.time() + due_in, why, job or a_job(rcpt, attempt=2))


async def test_what_waits_for_a_suppressed_address_is_dropped_and_nothing_else(room: Room, postgres_dsn: str) -> None:
    retry, scheduled = item("Ann@plain.test"), item(why=WhyLater.SEND_AT, due_in=70 * 3600, job=a_job("ann@plain.test"))
    another, anothers = item("bob@plain.test"), item(job=a_job("ann@plain.test", tenant_id=OTHER))
    await room.keep(retry, scheduled, another, anothers)
    assert await room.swept() == 0
    await suppress(postgres_dsn, "ann@plain.test", "bounce")
    assert await room.swept() == 2
    assert await room.told() == {each.job.delivery_id: "Bounced Address" for each in (retry, scheduled)}
    assert await room.waiting() == {another.job.delivery_id, anothers.job.delivery_id}


async def test_of_two_tenants_who_write_to_one_address_only_whose_suppression_it_is_loses_its_mail(room: Room, postgres_dsn: str) -> None:
    mine, anothers = item("ann@plain.test"), item(job=a_job("ann@plain.test", tenant_id=OTHER))
    await room.keep(mine, anothers)
    await suppress(postgres_dsn, "ann@plain.test", "bounce")
    await suppress(postgres_dsn, "bob@plain.test", "bounce", OTHER)
    assert await room.swept() == 1
    assert await room.waiting() == {anothers.job.delivery_id}


async def test_what_waits_for_many_suppressed_addresses_is_dropped_page_by_page(room: Room, postgres_dsn: str) -> None:
    await room.keep(*(item(f"u{n % 150}@plain.test", due_in=60 + 40 * n) for n in range(2 * ROWS + 5)))
    for n in range(150):
        await suppress(postgres_dsn, f"u{n}@plain.test", "bounce")
    assert await room.swept() == 2 * ROWS + 5
    assert await room.waiting() == set()


async def test_what_waits_of_a_suspended_tenant_is_dropped_page_by_page(room: Room, postgres_dsn: str) -> None:
    mine = [item(f"u{n}@plain.test", due_in=60 + 40 * n) for n in range(ROWS + 7)]
    anothers = item(job=a_job(tenant_id=OTHER))
    await room.keep(*mine, anothers)
    await rows(postgres_dsn, "UPDATE tenants SET state = 'suspended' WHERE id = $1::uuid", TENANT)
    assert await room.swept() == ROWS + 7
    assert await room.told() == {each.job.delivery_id: "Account Suspended" for each in mine}
    assert await room.waiting() == {anothers.job.delivery_id}


async def test_a_mail_that_passes_the_list_by_goes_on_waiting_unleased(room: Room, postgres_dsn: str) -> None:
    plain = a_job(attempt=2)
    await room.keep(item(job=replace(plain, head=replace(plain.head, settings=BYPASS))))
    await suppress(postgres_dsn, "ann@plain.test", "bounce")
    assert await room.swept() == 0
    assert [row["lease_until"] for row in await rows(postgres_dsn, "SELECT lease_until FROM later")] == [None]


async def test_what_is_due_within_half_a_minute_anyway_is_left_to_the_deliverer(room: Room, postgres_dsn: str) -> None:
    await room.keep(item(why=WhyLater.CLAIMED))
    await suppress(postgres_dsn, "ann@plain.test", "bounce")
    assert await room.swept() == 0
    assert len(await room.waiting()) == 1


@pytest.mark.parametrize("why", [WhyLater.OVERFLOW, WhyLater.SUSPENDED])
async def test_an_attempt_that_somebody_may_have_made_goes_to_the_deliverer_at_once(room: Room, postgres_dsn: str, why: WhyLater) -> None:
    await room.keep(item(why=why))
    await suppress(postgres_dsn, "ann@plain.test", "bounce")
    assert await room.swept() == 1
    assert [(str(job.rcpt), job.attempt, job.repeat) for job in await jobs_in(room.amqp_url)] == [("ann@plain.test", 2, False)]
    assert (await room.events(), await room.waiting()) == ([], set())


async def test_what_is_due_is_left_to_the_due_loop(room: Room, postgres_dsn: str) -> None:
    await room.keep(item(due_in=-1), item(due_in=2))
    await suppress(postgres_dsn, "ann@plain.test", "bounce")
    assert await room.swept() == 0


async def test_a_suppression_of_an_old_event_is_found_by_the_time_it_was_noted(room: Room, postgres_dsn: str) -> None:
    await room.keep(item())
    await rows(
        postgres_dsn,
        "INSERT INTO suppressions (tenant_id, address, kind, created_at) VALUES ($1::uuid, 'ann@plain.test', 'spamreport', now() - interval '1 day')",
        TENANT,
    )
    assert await room.swept() == 1


async def test_after_an_outage_everything_since_the_last_sweep_is_looked_for(room: Room, postgres_dsn: str) -> None:
    await rows(postgres_dsn, "UPDATE later_sweep SET looked_at = now() - interval '3 hours'")
    await room.keep(item())
    await rows(
        postgres_dsn,
        """
        INSERT INTO suppressions (tenant_id, address, kind, created_at, noted_at)
        SELECT $1::uuid, address, 'bounce', now(), now() - interval '2 hours'
        FROM (SELECT 'u' || n || '@x.test' AS address FROM generate_series(1, 1200) n UNION ALL SELECT 'ann@plain.test') s
        """,
        TENANT,
    )
    assert await room.swept() == 1
    assert await room.waiting() == set()


async def test_a_row_that_another_sweep_holds_keeps_the_mark_where_it_is(room: Room, postgres_dsn: str) -> None:
    await room.keep(item())
    await suppress(postgres_dsn, "ann@plain.test", "bounce")
    await rows(postgres_dsn, "UPDATE later SET lease_until = now() + interval '30 seconds'")
    [before] = await rows(postgres_dsn, "SELECT looked_at - interval '15 seconds' AS at FROM later_sweep")
    assert await room.swept() == 0
    [after] = await rows(postgres_dsn, "SELECT looked_at AS at FROM later_sweep")
    assert before == after
    await rows(postgres_dsn, "UPDATE later SET lease_until = now() - interval '1 second', job = job")
    assert await room.swept() == 1


async def test_of_two_sweeps_the_second_has_nothing_to_do(room: Room, postgres_dsn: str) -> None:
    await room.keep(*(item(f"u{n}@plain.test") for n in range(50)))
    await rows(postgres_dsn, "UPDATE tenants SET state = 'suspended' WHERE id = $1::uuid", TENANT)
    await rows(postgres_dsn, "UPDATE later_sweep SET looked_at = looked_at - interval '15 seconds'")
    counts = await asyncio.gather(*(room.sweep.sweep() for _ in range(3)))
    assert sum(counts) == 50
    assert len(await room.events()) == 50
    assert await room.sweep.sweep() == 0


async def test_a_row_of_the_release_before_waits_until_it_is_due(room: Room, postgres_dsn: str) -> None:
    await room.keep(item())
    await rows(postgres_dsn, "UPDATE later SET rcpt = NULL")
    await suppress(postgres_dsn, "ann@plain.test", "bounce")
    assert await room.swept() == 0
    assert len(await room.waiting()) == 1


async def test_a_row_that_cannot_be_read_holds_up_no_other(room: Room, postgres_dsn: str) -> None:
    await room.keep(item(), item(job=a_job(attempt=7)))
    await rows(postgres_dsn, "UPDATE later SET job = '\\x09' WHERE attempt = 2")
    await suppress(postgres_dsn, "ann@plain.test", "bounce")
    assert await room.swept() == 1
    assert len(await room.waiting()) == 1


async def test_a_job_that_comes_late_into_the_room_is_held_against_suppressions(room: Room, postgres_dsn: str) -> None:
    await suppress(postgres_dsn, "ann@plain.test", "bounce")
    await rows(postgres_dsn, "UPDATE suppressions SET noted_at = now() - interval '1 hour'")
    late, prompt = item(job=a_job(routed_at=time.time() - 60)), item(job=a_job(routed_at=time.time()))
    waiting_room = WaitingRoom(room.pool, lambda _: None, room.sweep.drop_barred)
    assert await waiting_room.handle([Incoming(LaterBatch((late, prompt)), "later", redelivered=False, failures=0)]) == [Ack()]
    assert late.job.delivery_id not in await room.waiting()
    assert late.job.delivery_id in await room.told()


async def test_without_a_broker_the_rows_stay_and_the_mark_too(
    service_dsn: Callable[[str], str], postgres_dsn: str, free_port: Callable[[], int]
) -> None:
    nobody = Publisher(f"amqp://guest:guest@127.0.0.1:{free_port()}/none", name="test")
    async with opened(service_dsn("scheduler"), postgres_dsn, nobody, "") as room:
        await room.keep(item())
        await suppress(postgres_dsn, "ann@plain.test", "bounce")
        with pytest.raises(Unavailable):
            await room.swept()
        assert len(await room.waiting()) == 1
        assert (await rows(postgres_dsn, "SELECT looked_at < now() - interval '10 seconds' FROM later_sweep"))[0][0]
