from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from tests.scheduler.broker import TOPOLOGY, jobs_in, publishing
from tests.scheduler.database import rows
from tests.scheduler.making import OTHER, a_job

from scaisend_common.messages import Job, LaterBatch, LaterItem, Stream, WhyLater
from scaisend_common.plumbing.amqp import Ack, Incoming, Publisher, Unavailable
from scaisend_common.plumbing.amqp.declare import declare
from scaisend_common.plumbing.dns import Resolver
from scaisend_common.plumbing.postgres import Pool, open_pool
from scaisend_common.topology import EXCHANGES, deliver_queue
from scaisend_scheduler.later.due import DueLoop
from scaisend_scheduler.later.store import claim_due
from scaisend_scheduler.later.waiting import WaitingRoom
from scaisend_scheduler.routing import Egress
from scaisend_scheduler.sites import Sites

NOWHERE = "127.0.0.1:9"


@dataclass
class Later:
    pool: Pool
    due: DueLoop
    room: WaitingRoom

    async def take(self, *items: LaterItem, redelivered: bool = False) -> None:
        incoming = Incoming(LaterBatch(items), "later", redelivered, 0)
        assert await self.room.handle([incoming]) == [Ack()]


async def nobody_is_barred(recipients: set[tuple[str, str]]) -> None:
    pass


@asynccontextmanager
async def opened(dsn: str, publisher: Publisher) -> AsyncIterator[Later]:
    async with open_pool(dsn, name="test") as pool:
        due = DueLoop(pool, Sites(Resolver(NOWHERE), patience=0.05), publisher, Egress("default", "default", TOPOLOGY))
        yield Later(pool, due, WaitingRoom(pool, due.wake, nobody_is_barred))


@pytest.fixture
async def later(broker_url: str, service_dsn: Callable[[str], str]) -> AsyncIterator[Later]:
    async with publishing(broker_url) as publisher, opened(service_dsn("scheduler"), publisher) as found:
        yield found


def item(due_in: float, why: WhyLater = WhyLater.RETRY, job: Job | None = None) -> LaterItem:
    return LaterItem(time.time() + due_in, why, job or a_job(attempt=2, source="second"))


async def count(dsn: str) -> int:
    return int((await rows(dsn, "SELECT count(*) FROM later"))[0][0])


async def test_a_job_waits_until_it_is_due_then_goes_out_on_its_last_source(later: Later, broker_url: str, postgres_dsn: str) -> None:
    early, late = item(-1), item(3600)
    await later.take(early, late)
    assert await later.due.send_due() == 1
    [job] = await jobs_in(broker_url)
    assert (job.delivery_id, job.attempt, job.source, job.repeat) == (early.job.delivery_id, 2, "second", False)
    assert job.shard == TOPOLOGY.shard("second", job.site)
    assert await count(postgres_dsn) == 1
    assert await later.due.send_due() == 0


async def test_an_item_that_comes_twice_waits_once(later: Later, postgres_dsn: str) -> None:
    waiting = item(3600)
    await later.take(waiting, waiting)
    await later.take(waiting, redelivered=True)
    assert await count(postgres_dsn) == 1


async def test_items_of_several_tenants_wait_and_leave_together(later: Later, broker_url: str, postgres_dsn: str) -> None:
    await later.take(*(item(-1, job=a_job(tenant_id=OTHER) if n % 2 else a_job()) for n in range(20)))
    assert await later.due.send_due() == 20
    assert len(await jobs_in(broker_url)) == 20
    assert await count(postgres_dsn) == 0


async def test_a_row_whose_lease_ran_out_goes_out_as_a_repeat(later: Later, broker_url: str, postgres_dsn: str) -> None:
    await later.take(item(-1), item(-1, WhyLater.OVERFLOW, a_job()))
    await rows(postgres_dsn, "UPDATE later SET lease_until = now() - interval '1 second' WHERE why = 'retry'")
    await later.due.send_due()
    assert {job.attempt: job.repeat for job in await jobs_in(broker_url)} == {2: True, 1: False}


async def test_a_leased_row_is_nobody_elses(later: Later, postgres_dsn: str) -> None:
    await later.take(item(-1))
    await rows(postgres_dsn, "UPDATE later SET lease_until = now() + interval '1 minute'")
    assert await later.due.send_due() == 0


async def test_two_loops_share_what_is_due(later: Later, broker_url: str, postgres_dsn: str) -> None:
    await later.take(*(item(-n, job=a_job()) for n in range(1, 100)))
    await asyncio.gather(*(later.due.send_due() for _ in range(4)))
    jobs = await jobs_in(broker_url)
    assert len(jobs) == len({job.delivery_id for job in jobs}) == 99
    assert await count(postgres_dsn) == 0


async def test_a_row_that_cannot_be_read_stays_and_holds_up_no_other(later: Later, broker_url: str, postgres_dsn: str) -> None:
    await later.take(item(-2), item(-1, job=a_job(attempt=7)))
    await rows(postgres_dsn, "UPDATE later SET job = '\\x09' WHERE attempt = 2")
    assert await later.due.send_due() == 2
    assert [job.attempt for job in await jobs_in(broker_url)] == [7]
    assert await count(postgres_dsn) == 1


async def test_without_a_broker_rows_stay(service_dsn: Callable[[str], str], postgres_dsn: str, free_port: Callable[[], int]) -> None:
    nobody = Publisher(f"amqp://guest:guest@127.0.0.1:{free_port()}/none", name="test")
    async with opened(service_dsn("scheduler"), nobody) as later:
        await later.take(item(-1))
        with pytest.raises(Unavailable):
            await later.due.send_due()
    assert await count(postgres_dsn) == 1


async def test_what_this_process_took_in_goes_out_at_its_time_and_not_at_the_next_look(later: Later, broker_url: str) -> None:
    running = asyncio.create_task(later.due.run())
    await asyncio.sleep(1.3)
    taken = item(0.3)
    await later.take(taken)
    await asyncio.sleep(taken.due_at + 0.25 - time.time())
    await later.due.stop()
    await running
    assert len(await jobs_in(broker_url)) == 1


async def test_rows_due_beyond_every_partition_are_kept_all_the_same(later: Later, postgres_dsn: str) -> None:
    await later.take(item(30 * 86400))
    assert (await rows(postgres_dsn, "SELECT count(*) FROM later_default"))[0][0] == 1


async def test_a_claim_is_oldest_first(later: Later) -> None:
    await later.take(*(item(-n, job=a_job(attempt=n)) for n in (1, 5, 3)))
    claimed = await claim_due(later.pool, 1, timedelta(seconds=60))
    assert [row.key.attempt for row in claimed] == [5]


async def test_due_rows_of_a_full_shard_stay_and_hold_up_no_other(
    fresh_vhost: Callable[[], str], service_dsn: Callable[[str], str], postgres_dsn: str
) -> None:
    amqp_url = fresh_vhost()
    full = deliver_queue("default", TOPOLOGY.shard("second", "plain.test"), Stream.TRANSACTIONAL)
    bounded = [replace(queue, max_bytes=1) if queue.name == full else queue for queue in TOPOLOGY.queues()]
    await declare(amqp_url, EXCHANGES, bounded, settle=timedelta(seconds=1))
    async with publishing(amqp_url) as publisher, opened(service_dsn("scheduler"), publisher) as later:
        async with asyncio.timeout(20):
            while not await count(postgres_dsn):  # a bound is a little late: the broker takes some first
                await later.take(item(-1))
                await later.due.send_due()
        await rows(postgres_dsn, "DELETE FROM later")
        stays, goes = item(-1), item(-1, job=a_job("bob@two-mx.test", attempt=2, source="second", site="two-mx.test"))
        await later.take(stays, goes)
        assert await later.due.send_due() == 2
        assert "bob@two-mx.test" in [str(job.rcpt) for job in await jobs_in(amqp_url)]
    [row] = await rows(postgres_dsn, "SELECT delivery_id, lease_until FROM later")
    assert row["delivery_id"] == stays.job.delivery_id
    assert row["lease_until"] is not None
