"""The real process: its roles apart, SIGTERM, and death at each line where responsibility moves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

import pytest
from msgspec.structs import replace as changed
from tests.scheduler.broker import TOPOLOGY, event_batches_in, jobs_in, publishing, taken
from tests.scheduler.database import make_tenants, rows, suppress
from tests.scheduler.making import TENANT, a_job, a_submission, an_id, bounce, delivered, processed
from tests.scheduler.process import scheduler

from scaisend_common.mail.address import Address
from scaisend_common.mail.events import Event
from scaisend_common.mail.ids import delivery_id, event_id, made_at
from scaisend_common.messages import (
    BlobKey,
    EventBatch,
    LaterBatch,
    LaterItem,
    PersonalizationsRef,
    Stream,
    Submission,
    SubmissionBatch,
    WhyLater,
    decode_submissions,
    encode,
)
from scaisend_common.plumbing.blobs import BlobName, BlobStore
from scaisend_common.plumbing.postgres import open_pool
from scaisend_common.plumbing.redis import connect
from scaisend_common.stops import EPOCH, address_stop
from scaisend_common.topology import EVENTS, LATER, LATER_QUEUE, SUBMIT, parked_queue

Settings = Callable[..., Mapping[str, str]]


@pytest.fixture
def settings(broker_url: str, service_dsn: Callable[[str], str], redis_url: str, ledger_url: str, free_port: Callable[[], int]) -> Settings:
    def of(roles: str, failpoints: str = "") -> Mapping[str, str]:
        return {
            "SCAISEND_ENV": "development",
            "SCAISEND_ROLES": roles,
            "SCAISEND_FAILPOINTS": failpoints,
            "SCAISEND_HEALTH_PORT": str(free_port()),
            "SCAISEND_DNS": "127.0.0.1:9",
            "AMQP_URL": broker_url,
            "POSTGRES_DSN": service_dsn("scheduler"),
            "REDIS_URL": redis_url,
            "LEDGER_URL": ledger_url,
        }

    return of


async def submit_together(broker_url: str, *submissions: Submission) -> None:
    """Publish submissions of TENANT in one message."""
    async with publishing(broker_url) as publisher:
        key = TOPOLOGY.submit_key(Stream.TRANSACTIONAL, TENANT)
        await publisher.publish(SUBMIT, key, encode(SubmissionBatch(submissions)))


async def submit(broker_url: str, *submissions: Submission) -> None:
    async with publishing(broker_url) as publisher:
        await asyncio.gather(
            *(
                publisher.publish(SUBMIT, TOPOLOGY.submit_key(each.stream, each.tenant_id), encode(SubmissionBatch((each,))))
                for each in submissions
            )
        )


async def tell(broker_url: str, *events: Event) -> None:
    async with publishing(broker_url) as publisher:
        await publisher.publish(EVENTS, TOPOLOGY.event_key(TENANT), encode(EventBatch(events)))


async def until(said: Callable[[], Awaitable[bool]], within: float = 20) -> None:
    end = time.monotonic() + within
    while not await said():
        assert time.monotonic() < end, "did not come to pass"
        await asyncio.sleep(0.05)


async def test_one_process_with_all_roles_takes_a_mail_to_its_queue_and_its_timeline(
    settings: Settings, broker_url: str, postgres_dsn: str, ledger_url: str
) -> None:
    await make_tenants(postgres_dsn)
    async with scheduler(settings("route,later,record,upkeep")):
        await submit(
            broker_url,
            a_submission("ann@plain.test", at=time.time()),
            a_submission("bob@plain.test", at=time.time(), stream=Stream.BULK),
            a_submission("cid@plain.test", at=time.time(), send_at=int(time.time()) + 2),
        )

        async def all_recorded() -> bool:
            return len(await rows(postgres_dsn, "SELECT FROM messages WHERE state = 'processed'")) == 3

        await until(all_recorded)
        assert [str(job.rcpt) for job in await jobs_in(broker_url)] == ["ann@plain.test"]
        assert [str(job.rcpt) for job in await jobs_in(broker_url, Stream.BULK)] == ["bob@plain.test"]
        await asyncio.sleep(2.5)
        [job] = await jobs_in(broker_url)
        assert (str(job.rcpt), job.attempt, job.repeat) == ("cid@plain.test", 1, False)
        async with connect(ledger_url) as ledger:
            assert await ledger.exists(EPOCH) == 1


@pytest.mark.parametrize("point", ["scheduler.route.before_publish", "scheduler.route.after_publish_before_ack"])
async def test_route_killed_routes_again_as_a_repeat_and_loses_nothing(settings: Settings, broker_url: str, point: str) -> None:
    await submit_together(broker_url, *(a_submission(f"u{n}@plain.test", at=time.time()) for n in range(20)))
    async with scheduler(settings("route", f"{point}=kill")) as process:
        await asyncio.wait_for(process.wait(), 20)
    published = len(await jobs_in(broker_url))
    told = {event.event_id: event for batch in await event_batches_in(broker_url) for event in batch.events}
    async with scheduler(settings("route")):

        async def all_out() -> bool:
            jobs.update({job.delivery_id: job for job in await jobs_in(broker_url)})
            return len(jobs) == 20

        jobs: dict[str, object] = {}
        await until(all_out)
    assert published == (0 if "before_publish" in point else 20)
    assert all(getattr(job, "repeat") for job in jobs.values())  # noqa: B009
    again = {event.event_id: event for batch in await event_batches_in(broker_url) for event in batch.events}
    assert len(again) == 20
    assert told.items() <= again.items()


@pytest.mark.parametrize(
    "point", ["scheduler.record.before_commit", "scheduler.record.after_commit_before_stops", "scheduler.record.after_stops_before_ack"]
)
async def test_record_killed_records_once_and_still_stops_the_address(
    settings: Settings, broker_url: str, postgres_dsn: str, ledger_url: str, point: str
) -> None:
    delivery = delivery_id(an_id(time.time()), 0, 0)
    await tell(broker_url, processed(delivery), bounce(delivery))
    async with scheduler(settings("record", f"{point}=kill")) as process:
        await asyncio.wait_for(process.wait(), 20)
    async with scheduler(settings("record")), connect(ledger_url) as ledger:

        async def stopped() -> bool:
            return bool(await ledger.exists(address_stop(TENANT, Address("ann", "plain.test"))))

        await until(stopped)
    [stats] = await rows(postgres_dsn, "SELECT processed, bounces FROM stats_daily")
    assert tuple(stats) == (1, 1)
    assert len(await rows(postgres_dsn, "SELECT FROM events")) == 2


@pytest.mark.parametrize("point", ["scheduler.later.after_claim_before_publish", "scheduler.later.after_publish_before_delete"])
async def test_later_killed_between_lease_and_deletion_sends_on_again_as_a_repeat(
    settings: Settings, broker_url: str, postgres_dsn: str, point: str
) -> None:
    async with publishing(broker_url) as publisher:
        await publisher.publish(LATER, LATER_QUEUE, encode(LaterBatch((LaterItem(time.time(), WhyLater.RETRY, a_job(attempt=2)),))))
    async with scheduler(settings("later", f"{point}=kill")) as process:
        await asyncio.wait_for(process.wait(), 20)
    assert len(await jobs_in(broker_url)) == (1 if "after_publish" in point else 0)
    await rows(postgres_dsn, "UPDATE later SET lease_until = now() - interval '1 second'")  # a minute later
    async with scheduler(settings("later")):

        async def gone() -> bool:
            return await rows(postgres_dsn, "SELECT FROM later") == []

        await until(gone)
    assert [job.repeat for job in await jobs_in(broker_url)] == [True]


@pytest.mark.parametrize("point", ["scheduler.later.after_lease_before_dropped", "scheduler.later.after_dropped_before_delete"])
async def test_a_sweep_killed_between_lease_and_deletion_drops_again_and_tells_the_same(
    settings: Settings, broker_url: str, postgres_dsn: str, point: str
) -> None:
    await make_tenants(postgres_dsn)
    job = a_job(attempt=2, routed_at=time.time())
    async with publishing(broker_url) as publisher:
        await publisher.publish(LATER, LATER_QUEUE, encode(LaterBatch((LaterItem(time.time() + 7200, WhyLater.RETRY, job),))))
    async with scheduler(settings("later")):

        async def waits() -> bool:
            return len(await rows(postgres_dsn, "SELECT FROM later")) == 1

        await until(waits)
    await suppress(postgres_dsn, "ann@plain.test", "bounce")
    await rows(postgres_dsn, "UPDATE later_sweep SET looked_at = now() - interval '1 minute'")
    async with scheduler(settings("later", f"{point}=kill")) as process:
        await asyncio.wait_for(process.wait(), 20)
    told = [event for batch in await event_batches_in(broker_url) for event in batch.events]
    await rows(postgres_dsn, "UPDATE later SET lease_until = now() - interval '1 second'")  # half a minute later
    async with scheduler(settings("later")):

        async def gone() -> bool:
            return await rows(postgres_dsn, "SELECT FROM later") == []

        await until(gone)
    told += [event for batch in await event_batches_in(broker_url) for event in batch.events]
    assert len(told) == (2 if "after_dropped" in point else 1)
    assert {event.event_id for event in told} == {event_id("drop", 2, job.delivery_id)}
    assert await jobs_in(broker_url) == []


async def test_later_killed_after_its_commit_keeps_the_row_once(settings: Settings, broker_url: str, postgres_dsn: str) -> None:
    item = LaterItem(time.time() + 3600, WhyLater.RETRY, a_job(attempt=2))
    async with publishing(broker_url) as publisher:
        await publisher.publish(LATER, LATER_QUEUE, encode(LaterBatch((item,))))
    async with scheduler(settings("later", "scheduler.later.after_commit_before_ack=kill")) as process:
        await asyncio.wait_for(process.wait(), 20)
    async with scheduler(settings("later")):
        await asyncio.sleep(1)
        assert len(await rows(postgres_dsn, "SELECT FROM later")) == 1


async def test_sigterm_under_load_loses_and_repeats_nothing(settings: Settings, broker_url: str, postgres_dsn: str) -> None:
    submissions = [a_submission(f"u{n}@plain.test", at=time.time()) for n in range(2000)]
    await submit(broker_url, *submissions)
    async with scheduler(settings("route")):
        await asyncio.sleep(0.2)
    async with scheduler(settings("route")):
        await asyncio.sleep(3)
    jobs = await jobs_in(broker_url)
    assert len(jobs) == len({job.delivery_id for job in jobs}) == 2000


async def test_an_undecodable_submission_is_parked_and_the_queue_goes_on(settings: Settings, broker_url: str) -> None:
    async with publishing(broker_url) as publisher:
        await publisher.publish(SUBMIT, TOPOLOGY.submit_key(Stream.TRANSACTIONAL, TENANT), b"\x01\xc1")
    await submit(broker_url, a_submission("ann@plain.test", at=time.time()))
    async with scheduler(settings("route")):

        async def routed() -> bool:
            return [str(job.rcpt) for job in await jobs_in(broker_url)] == ["ann@plain.test"]

        async def is_parked() -> bool:
            parked.extend(await taken(broker_url, [parked_queue(f"submit.{TOPOLOGY.submit_key(Stream.TRANSACTIONAL, TENANT)}")], bytes))
            return bool(parked)

        parked: list[bytes] = []
        await until(routed)
        await until(is_parked)
    assert parked == [b"\x01\xc1"]


async def test_a_submission_that_no_code_was_prepared_for_is_parked_alone(
    settings: Settings, broker_url: str, postgres_dsn: str, service_dsn: Callable[[str], str]
) -> None:
    now = time.time()
    good = [a_submission(f"u{n}@plain.test", at=now) for n in range(3)]
    bad = a_submission(at=now)
    key = BlobKey(TENANT, bad.submission_id, 1)
    async with open_pool(service_dsn("api"), name="test") as pool:
        await BlobStore(pool).put(BlobName(TENANT, bad.submission_id, 1, made_at(bad.submission_id).date()), b"\x01broken")
    await submit_together(broker_url, good[0], changed(bad, personalizations=PersonalizationsRef(key, 1)), good[1])
    await submit(broker_url, good[2])
    async with scheduler(settings("route")):
        out: set[str] = set()

        async def all_out() -> bool:
            out.update(str(job.rcpt) for job in await jobs_in(broker_url))
            return len(out) == 3

        async def is_parked() -> bool:
            parked.extend(
                await taken(broker_url, [parked_queue(f"submit.{TOPOLOGY.submit_key(Stream.TRANSACTIONAL, TENANT)}")], decode_submissions)
            )
            return len(parked) == 1

        parked: list[SubmissionBatch] = []
        await until(all_out)
        await until(is_parked)
    assert out == {"u0@plain.test", "u1@plain.test", "u2@plain.test"}
    assert [each.submission_id for each in parked[0].submissions] == [bad.submission_id]


async def test_a_role_that_was_not_asked_for_does_not_run(settings: Settings, broker_url: str, postgres_dsn: str) -> None:
    delivery = delivery_id(an_id(time.time()), 0, 0)
    await tell(broker_url, delivered(delivery))
    async with scheduler(settings("route,upkeep")):
        await asyncio.sleep(1)
    assert await rows(postgres_dsn, "SELECT FROM events") == []
    assert len(await event_batches_in(broker_url)) == 1
