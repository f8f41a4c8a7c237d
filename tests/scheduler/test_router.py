from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count

import pytest
from msgspec.structs import replace as changed
from tests.scheduler.broker import TOPOLOGY, event_batches_in, jobs_in, publishing, taken, waiting_in
from tests.scheduler.database import make_tenants, rows, suppress
from tests.scheduler.making import OTHER, TENANT, a_submission, box

from scaisend_common.mail.events import DroppedEvent, Event
from scaisend_common.mail.ids import made_at
from scaisend_common.messages import (
    BlobKey,
    Heartbeat,
    Line,
    Lines,
    Personalization,
    Personalizations,
    PersonalizationsRef,
    Stream,
    Submission,
    SubmissionBatch,
    WhyLater,
    decode_submissions,
    encode,
)
from scaisend_common.plumbing.amqp import Ack, Incoming, Park, Settlement
from scaisend_common.plumbing.amqp.declare import declare
from scaisend_common.plumbing.blobs import BlobName, BlobStore
from scaisend_common.plumbing.dns import Resolver
from scaisend_common.plumbing.postgres import DatabaseAway, open_pool
from scaisend_common.topology import EXCHANGES, deliver_queue, parked_queue
from scaisend_scheduler.route.handler import Router
from scaisend_scheduler.routing import Egress
from scaisend_scheduler.sites import Sites

NOWHERE = "127.0.0.1:9"  # nobody answers DNS there


@dataclass
class Routed:
    """`rests` has the seconds of each rest that the router took; they take no time here."""

    amqp_url: str
    router: Router
    rests: list[float]

    async def __call__(self, *submissions: Submission, redelivered: bool = False) -> list[Settlement]:
        return await self.together(*((each,) for each in submissions), redelivered=redelivered)

    async def together(self, *messages: tuple[Submission, ...], redelivered: bool = False) -> list[Settlement]:
        return await self.router.handle([Incoming(SubmissionBatch(each), "submit.transactional.0", redelivered, 0) for each in messages])


@asynccontextmanager
async def routing(
    amqp_url: str, dsn: str, now: Callable[[], float] = time.time, rest: Callable[[float], Awaitable[None]] | None = None
) -> AsyncIterator[Routed]:
    async with open_pool(dsn, name="test") as pool, publishing(amqp_url) as publisher:
        sites = Sites(Resolver(NOWHERE), patience=0.05)
        rests: list[float] = []

        async def note(seconds: float) -> None:
            rests.append(seconds)

        router = Router(pool, BlobStore(pool), sites, publisher, Egress("default", "default", TOPOLOGY), now=now, rest=rest or note)
        yield Routed(amqp_url, router, rests)


@pytest.fixture
async def route(broker_url: str, postgres_dsn: str, service_dsn: Callable[[str], str]) -> AsyncIterator[Routed]:
    await make_tenants(postgres_dsn)
    async with routing(broker_url, service_dsn("scheduler")) as routed:
        yield routed


async def events_in(amqp_url: str) -> list[Event]:
    return [event for batch in await event_batches_in(amqp_url) for event in batch.events]


async def test_each_recipient_becomes_a_job_in_its_shard_and_a_processed_event(route: Routed) -> None:
    now = time.time()
    batch = [a_submission("ann@plain.test", "bob@tls.test", at=now), a_submission("cid@plain.test", tenant_id=OTHER, at=now)]
    assert await route(*batch) == [Ack(), Ack()]
    jobs = await jobs_in(route.amqp_url)
    assert sorted(str(job.rcpt) for job in jobs) == ["ann@plain.test", "bob@tls.test", "cid@plain.test"]
    assert {job.site for job in jobs} == {"plain.test", "tls.test"}  # without DNS, the domain
    assert all(job.shard == TOPOLOGY.shard("default", job.site) and not job.repeat for job in jobs)
    events = await events_in(route.amqp_url)
    assert sorted(event.delivery_id for event in events) == sorted(job.delivery_id for job in jobs)


async def test_jobs_of_one_path_share_a_message(route: Routed) -> None:
    await route(*(a_submission(f"u{n}@plain.test") for n in range(30)))
    jobs = await jobs_in(route.amqp_url)
    assert len(jobs) == 30
    assert len(await event_batches_in(route.amqp_url)) == 1


async def test_bulk_rests_after_each_load_beside_transactional_mail(
    broker_url: str, postgres_dsn: str, service_dsn: Callable[[str], str]
) -> None:
    await make_tenants(postgres_dsn)
    many = [f"u{n}@plain.test" for n in range(250)]
    begun = time.time()
    milliseconds = (begun + n / 1000 for n in count())  # one passes at each look at the clock
    async with routing(broker_url, service_dsn("scheduler"), now=lambda: next(milliseconds)) as route:
        await route(a_submission(*many, stream=Stream.BULK))
        assert not route.rests  # it was alone
        await route(a_submission(*many))
        assert not route.rests
        await route(a_submission(*many, stream=Stream.BULK))
        assert len(route.rests) == 3
        assert all(seconds > 0 for seconds in route.rests)
        assert len(await jobs_in(broker_url, Stream.BULK)) == 500
        route.router.hurry()
        await route(a_submission(*many, stream=Stream.BULK))
        assert len(route.rests) == 3


async def test_suppressed_recipients_are_dropped_per_tenant(route: Routed, postgres_dsn: str) -> None:
    await suppress(postgres_dsn, "ann@plain.test", "bounce")
    await route(a_submission("Ann@plain.test", "bob@plain.test"), a_submission("ann@plain.test", tenant_id=OTHER))
    assert sorted((job.tenant_id, str(job.rcpt)) for job in await jobs_in(route.amqp_url)) == [
        (TENANT, "bob@plain.test"),
        (OTHER, "ann@plain.test"),
    ]
    [dropped] = [event for event in await events_in(route.amqp_url) if isinstance(event, DroppedEvent)]
    assert (dropped.email, dropped.reason, dropped.tenant_id) == ("Ann@plain.test", "Bounced Address", TENANT)


async def test_a_suspended_tenants_mail_is_dropped(route: Routed, postgres_dsn: str) -> None:
    await rows(postgres_dsn, "UPDATE tenants SET state = 'suspended' WHERE id = $1::uuid", TENANT)
    await route(a_submission("ann@plain.test"), a_submission("ann@plain.test", tenant_id=OTHER))
    assert [job.tenant_id for job in await jobs_in(route.amqp_url)] == [OTHER]


async def test_a_future_send_at_goes_to_the_waiting_room(route: Routed) -> None:
    send_at = int(time.time()) + 3600
    await route(a_submission("ann@plain.test", send_at=send_at, at=time.time()))
    [item] = await waiting_in(route.amqp_url)
    assert (item.due_at, item.why) == (send_at, WhyLater.SEND_AT)
    assert await jobs_in(route.amqp_url) == []
    assert len(await events_in(route.amqp_url)) == 1


async def test_a_redelivered_submission_makes_repeats_with_the_same_events(route: Routed) -> None:
    submission = a_submission("ann@plain.test")
    await route(submission)
    first, told = await jobs_in(route.amqp_url), await events_in(route.amqp_url)
    await route(submission, redelivered=True)
    again, told_again = await jobs_in(route.amqp_url), await events_in(route.amqp_url)
    assert [job.delivery_id for job in first] == [job.delivery_id for job in again]
    assert ([job.repeat for job in first], [job.repeat for job in again]) == ([False], [True])
    assert told == told_again


async def test_bulk_stays_in_its_own_queues(route: Routed) -> None:
    await route(a_submission("ann@plain.test", stream=Stream.BULK))
    assert await jobs_in(route.amqp_url, Stream.TRANSACTIONAL) == []
    assert len(await jobs_in(route.amqp_url, Stream.BULK)) == 1


def by_reference(count: int) -> tuple[Submission, BlobName, bytes]:
    submission = a_submission("x@x.test")
    key = BlobKey(TENANT, submission.submission_id, 1)
    content = encode(Personalizations(tuple(Personalization(to=(box(f"u{n}@plain.test"),)) for n in range(count))))
    name = BlobName(TENANT, submission.submission_id, 1, made_at(submission.submission_id).date())
    return (
        a_submission(submission_id=submission.submission_id, personalizations=PersonalizationsRef(key, count)),
        name,
        content,
    )


async def test_a_thousand_personalizations_by_reference_never_hold_the_loop_for_50_ms_of_cpu(
    route: Routed, service_dsn: Callable[[str], str]
) -> None:
    submission, name, content = by_reference(1000)
    async with open_pool(service_dsn("api"), name="test-api") as pool:
        await BlobStore(pool).put(name, content)
    await route(a_submission("warm@plain.test"))
    worst = 0.0

    async def watch() -> None:
        nonlocal worst
        while True:
            start = time.thread_time()  # what others do on this machine meanwhile does not count
            await asyncio.sleep(0)
            worst = max(worst, time.thread_time() - start)

    watcher = asyncio.create_task(watch())
    assert await route(submission) == [Ack()]
    watcher.cancel()
    assert len({job.delivery_id for job in await jobs_in(route.amqp_url)}) == 1001
    assert worst < 0.05


async def test_a_missing_blob_parks_its_own_submission_only(route: Routed) -> None:
    lost, _, _ = by_reference(3)
    parked, acked = await route(lost, a_submission("ann@plain.test"))
    assert isinstance(parked, Park)
    assert acked == Ack()
    assert [str(job.rcpt) for job in await jobs_in(route.amqp_url)] == ["ann@plain.test"]


async def test_a_message_that_may_be_what_failed_loses_only_the_submission_that_cannot_be_opened(route: Routed) -> None:
    lost, _, _ = by_reference(3)
    message = SubmissionBatch((a_submission("ann@plain.test"), lost, a_submission("bob@plain.test")))
    suspect = Incoming(message, "submit.transactional.0", redelivered=True, failures=0, is_suspect=True)
    assert await route.router.handle([suspect]) == [Ack()]
    jobs = await jobs_in(route.amqp_url)
    assert [(str(job.rcpt), job.repeat) for job in sorted(jobs, key=lambda job: str(job.rcpt))] == [
        ("ann@plain.test", True),
        ("bob@plain.test", True),
    ]
    parked = await taken(route.amqp_url, [parked_queue("submit.transactional.0")], decode_submissions)
    assert parked == [SubmissionBatch((changed(lost, repeat=True),))]


async def test_one_that_fails_with_a_monstrous_reason_is_parked_without_the_others(
    broker_url: str, postgres_dsn: str, service_dsn: Callable[[str], str]
) -> None:
    await make_tenants(postgres_dsn)

    async def fail(_seconds: float) -> None:
        raise RuntimeError("\udcff" * 200_000)  # no UTF-8, and more than a frame

    async with routing(broker_url, service_dsn("scheduler"), rest=fail) as route:
        bad = a_submission("bob@plain.test", stream=Stream.BULK)
        message = SubmissionBatch((a_submission("ann@plain.test"), bad, a_submission("cid@plain.test")))
        suspect = Incoming(message, "submit.transactional.0", redelivered=True, failures=3, is_suspect=True)
        assert await route.router.handle([suspect]) == [Ack()]
    assert {str(job.rcpt) for job in await jobs_in(broker_url)} == {"ann@plain.test", "cid@plain.test"}
    parked = await taken(broker_url, [parked_queue("submit.transactional.0")], decode_submissions)
    assert parked == [SubmissionBatch((changed(bad, repeat=True),))]


async def test_a_single_submission_that_may_be_what_failed_is_routed(route: Routed) -> None:
    message = SubmissionBatch((a_submission("ann@plain.test"),))
    assert await route.router.handle([Incoming(message, "submit.transactional.0", redelivered=True, failures=3, is_suspect=True)]) == [
        Ack()
    ]
    assert [job.repeat for job in await jobs_in(route.amqp_url)] == [True]


async def test_messages_of_several_that_come_again_together_are_routed_as_repeats(route: Routed) -> None:
    messages = [(a_submission("ann@plain.test"), a_submission("bob@plain.test")), (a_submission("cid@plain.test"),)]
    assert await route.together(*messages, redelivered=True) == [Ack(), Ack()]
    jobs = await jobs_in(route.amqp_url)
    assert {str(job.rcpt) for job in jobs} == {"ann@plain.test", "bob@plain.test", "cid@plain.test"}
    assert all(job.repeat for job in jobs)


async def test_without_postgres_nothing_is_published_and_the_mail_waits(broker_url: str, free_port: Callable[[], int]) -> None:
    async with routing(broker_url, f"postgresql://nobody@127.0.0.1:{free_port()}/none") as route:
        with pytest.raises(DatabaseAway):
            await route(a_submission("ann@plain.test"))
    assert await jobs_in(broker_url) == []
    assert await event_batches_in(broker_url) == []


async def test_a_tenant_without_credit_on_a_path_waits_and_holds_up_nobody(route: Routed) -> None:
    await route.router.hear(Lines("default", "default", "plain.test", (Line(TENANT, Stream.TRANSACTIONAL, 5.0, 100.0),)))
    await route.router.hear(Heartbeat("default", "somebody"))
    await route(a_submission("ann@plain.test"), a_submission("bob@tls.test"), a_submission("cid@plain.test", tenant_id=OTHER))
    assert sorted(str(job.rcpt) for job in await jobs_in(route.amqp_url)) == ["bob@tls.test", "cid@plain.test"]
    [item] = await waiting_in(route.amqp_url)
    assert (str(item.job.rcpt), item.why, item.job.repeat) == ("ann@plain.test", WhyLater.OVERFLOW, True)
    assert item.due_at > time.time() + 100
    assert len(await events_in(route.amqp_url)) == 3


async def test_a_full_shard_holds_up_only_its_own_mail(
    fresh_vhost: Callable[[], str], postgres_dsn: str, service_dsn: Callable[[str], str]
) -> None:
    await make_tenants(postgres_dsn)
    amqp_url = fresh_vhost()
    full = deliver_queue("default", TOPOLOGY.shard("default", "plain.test"), Stream.TRANSACTIONAL)
    bounded = [replace(queue, max_bytes=1) if queue.name == full else queue for queue in TOPOLOGY.queues()]
    await declare(amqp_url, EXCHANGES, bounded, settle=timedelta(seconds=1))
    async with routing(amqp_url, service_dsn("scheduler")) as route:
        while not await waiting_in(amqp_url):  # a bound is a little late: the broker takes some first
            await route(a_submission("first@plain.test"))
        assert await route(a_submission("ann@plain.test"), a_submission("bob@tls.test")) == [Ack(), Ack()]
        assert "bob@tls.test" in [str(job.rcpt) for job in await jobs_in(amqp_url)]
        [item] = await waiting_in(amqp_url)
    assert (str(item.job.rcpt), item.why, item.job.repeat) == ("ann@plain.test", WhyLater.OVERFLOW, False)
    assert item.due_at > time.time() + 30
