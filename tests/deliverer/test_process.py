"""The deliverer as a process: real broker, Postgres, Redis, DNS and SMTP around it."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from email.parser import BytesParser
from email.policy import default
from pathlib import Path

import dkim
import pytest
import redis.asyncio
from msgspec.structs import replace
from tests.deliverer.database import PUBLIC
from tests.deliverer.making import TENANT, a_job
from tests.deliverer.post import Post, a_fleet, one_message, post_office, purge
from tests.deliverer.test_earlier import tell
from tests.e2e.fleet import call

from scaisend_common.mail.events import BounceEvent, DeferredEvent, DeliveredEvent, DroppedEvent
from scaisend_common.mail.ids import delivery_id, made_at, submission_of
from scaisend_common.mail.verdict import BounceKind
from scaisend_common.mail.verp import ReturnPath, read_return_path
from scaisend_common.messages import Attachment, BlobKey, Content, ContentRef, Job, Part, Stream, WhyLater, decode_jobs, encode
from scaisend_common.plumbing.blobs import BlobName, BlobStore
from scaisend_common.plumbing.crypto import KeyRing
from scaisend_common.plumbing.postgres import open_pool
from scaisend_common.stops import delivery_stop
from scaisend_common.topology import deliver_queue, parked_queue
from scaisend_deliverer.ledger import claim_key


@pytest.fixture
async def post(
    amqp_url: str,
    postgres_dsn: str,
    service_dsn: Callable[[str], str],
    redis_url: str,
    ledger_url: str,
    free_port: Callable[[], int],
    tmp_path: Path,
) -> AsyncIterator[Post]:
    await purge(amqp_url)
    servers = {"AMQP_URL": amqp_url, "REDIS_URL": redis_url, "LEDGER_URL": ledger_url}
    async with post_office(a_fleet(servers, service_dsn, postgres_dsn, free_port, tmp_path), postgres_dsn, PUBLIC) as office:
        yield office


def on_sites(count: int, tag: str = "", *, who: str = "ok") -> list[Job]:
    """Jobs to many domains on four sites."""
    return [
        a_job(number, to=f"{who}+{tag}{number}@d{number % 40}.s{number % 4}.sites.test", site=f"s{number % 4}.sites.test")
        for number in range(count)
    ]


async def test_every_zone_and_script_gets_its_verdict(post: Post) -> None:
    await post.start()
    expected = {
        "ok@tls.test": "delivered",
        "ok@plain.test": "delivered",
        "ok@7bit.test": "delivered",
        "ok@two-mx.test": "delivered",
        "ok@implicit.test": "delivered",
        "ok@cname.test": "delivered",
        "nobody@nullmx.test": "bounce",
        "nobody@nowhere.test": "bounce",
        "nobody@private.test": "bounce",
        "nobody@servfail.test": "deferred",
        "bounce@plain.test": "bounce",
        "full@plain.test": "bounce",
        "block@7bit.test": "bounce",
        "defer-1@plain.test": "deferred",
        "greylist@tls.test": "deferred",
        "slow-0.3@plain.test": "delivered",
        "drop@plain.test": "unknown",
        "jörg@7bit.test": "bounce",
        "jörg@plain.test": "delivered",
    }
    jobs = {to: a_job(number, to=to) for number, to in enumerate(expected)}
    await post.send(jobs.values())
    await post.known(jobs.values())
    assert {to: post.kinds(job)[-1] for to, job in jobs.items()} == expected
    kinds = {to: event.kind for to, job in jobs.items() for event in post.events[job.delivery_id] if isinstance(event, BounceEvent)}
    assert {to for to, kind in kinds.items() if kind is BounceKind.BOUNCE} == {
        "nobody@nullmx.test",
        "nobody@nowhere.test",
        "bounce@plain.test",
    }
    (sealed,) = post.events[jobs["ok@tls.test"].delivery_id]
    assert isinstance(sealed, DeliveredEvent)
    assert sealed.hop.tls
    assert sealed.hop.mx_host == "mx.tls.test"
    waiting = post.waits(jobs["defer-1@plain.test"])
    assert waiting is not None
    assert (waiting.why, waiting.job.attempt) == (WhyLater.RETRY, 2)
    await post.send([waiting.job])
    await post.becomes(waiting.job, ["deferred", "delivered"])


async def test_a_mail_is_signed_and_its_return_path_names_it(post: Post) -> None:
    await post.start()
    job = a_job(to="ok@plain.test")
    await post.send([job])
    await post.known([job])
    status, _, answer = await asyncio.to_thread(call, "GET", f"{post.internet.places.inbox_url}/messages?to=ok@plain.test")
    assert status == 200
    (mail,) = json.loads(answer)
    assert (mail["dkim"], mail["dkim_domain"]) == ("pass", "sender.test")
    ((_, taken),) = post.internet.mailbox.newest(to="ok@plain.test")
    local, _, host = taken.reverse_path.partition("@")
    assert host == "bounces.sender.test"
    keys = KeyRing.parse(post.fleet.secrets["SCAISEND_TOKEN_SECRET"])
    assert read_return_path(local, keys, datetime.now(UTC)) == ReturnPath(1, job.delivery_id)


async def test_what_is_stopped_is_dropped(post: Post) -> None:
    await post.start()
    stopped, free = a_job(1, to="ok+1@plain.test"), a_job(2, to="ok+2@plain.test")
    async with redis.asyncio.Redis.from_url(post.fleet.servers["LEDGER_URL"]) as ledger:
        await ledger.set(delivery_stop(stopped.delivery_id), "Cancelled")
    await post.send([stopped, free])
    await post.known([stopped, free])
    (dropped,) = post.events[stopped.delivery_id]
    assert isinstance(dropped, DroppedEvent)
    assert dropped.reason == "Cancelled"
    assert post.kinds(free) == ["delivered"]
    assert post.arrived(stopped) == 0


async def test_a_dead_host_is_asked_once_and_the_rest_wait_without_an_event(post: Post) -> None:
    """R15: two hundred jobs, one probe."""
    await post.start()
    jobs = [a_job(number, to=f"ok+{number}@postfix.test") for number in range(200)]
    await post.send(jobs, a_message=25)
    await post.known(jobs)
    deferred = [job for job in jobs if post.events[job.delivery_id]]
    assert 1 <= len(deferred) <= 3
    assert all(isinstance(post.events[job.delivery_id][0], DeferredEvent) for job in deferred)
    suspended = [item for item in post.later if item.why is WhyLater.SUSPENDED]
    assert len(suspended) == len(jobs) - len(deferred)
    assert all(item.job.attempt == 1 for item in suspended)


@pytest.mark.parametrize(
    ("failpoint", "sent_again"),
    [
        ("deliverer.before_final_dot", None),
        ("deliverer.after_250_before_ledger", True),
        ("deliverer.after_ledger_before_publish", False),
        ("deliverer.after_publish_before_ack", False),
    ],
)
async def test_killed_at_each_hand_over_nothing_is_lost_and_only_doubt_repeats(post: Post, failpoint: str, sent_again: bool | None) -> None:
    killed = await post.start(SCAISEND_FAILPOINTS=f"{failpoint}=kill@20")
    jobs = on_sites(60)
    await post.send(jobs)
    await asyncio.to_thread(killed.popen.wait, 20)
    in_doubt = await claims_without_outcome(post, jobs)
    await post.start()
    await asyncio.sleep(1)
    await post.known(jobs, within=60)
    while waiting := [item for item in post.later if item.why is WhyLater.CLAIMED]:
        post.later = [item for item in post.later if item.why is not WhyLater.CLAIMED]
        async with redis.asyncio.Redis.from_url(post.fleet.servers["LEDGER_URL"]) as ledger:
            for key in await ledger.keys("owner:*"):
                if int(await ledger.ttl(key)) < 9:
                    await ledger.delete(key)  # fifteen seconds have passed
        await post.send([item.job for item in waiting])
        await asyncio.sleep(1)
    await post.known(jobs, within=30)
    unknown = {job.delivery_id for job in jobs if post.kinds(job) == ["unknown"]}
    assert unknown <= in_doubt
    assert sum(post.arrived(job) > 1 for job in jobs) == 0
    assert all(post.arrived(job) == 1 for job in jobs if job.delivery_id not in unknown)
    if sent_again is False:
        assert sum(post.kinds(job) == ["delivered"] for job in jobs) == len(jobs) - len(unknown)


async def claims_without_outcome(post: Post, jobs: list[Job]) -> set[str]:
    async with redis.asyncio.Redis.from_url(post.fleet.servers["LEDGER_URL"]) as ledger:
        values = await ledger.mget([claim_key(job) for job in jobs])
    return {job.delivery_id for job, value in zip(jobs, values, strict=True) if value is not None and value[:1] != b"\x01"}


async def test_two_share_the_shards_and_a_stop_under_load_loses_and_repeats_nothing(post: Post) -> None:
    first = await post.start()
    second = await post.start()
    jobs = on_sites(1500)
    await post.send(jobs[:1000], a_message=5)
    await asyncio.sleep(0.3)
    first.signal(signal.SIGTERM)
    await post.send(jobs[1000:], a_message=5)
    assert await asyncio.to_thread(first.popen.wait, 30) == 0
    await post.known(jobs, within=90)
    assert {tuple(post.kinds(job)) for job in jobs if not post.waits(job)} == {("delivered",)}
    assert [post.arrived(job) for job in jobs if not post.waits(job)] == [1] * sum(not post.waits(job) for job in jobs)
    assert all(event.event_id for job in jobs for event in post.events[job.delivery_id])
    assert second.is_running()


async def test_no_site_sees_more_connections_than_its_limit_whoever_comes_and_goes(post: Post) -> None:
    limit = {"SCAISEND_CONNECTIONS_PER_PATH": "4"}
    first = await post.start(**limit)
    jobs = on_sites(600, "l", who="slow-0.1")
    await post.send(jobs, a_message=2)
    await asyncio.sleep(1.5)
    second = await post.start(**limit)
    await asyncio.sleep(2)
    first.kill()
    await asyncio.sleep(2)
    await post.start(**limit)
    await asyncio.sleep(2)
    second.signal(signal.SIGTERM)
    await asyncio.to_thread(second.popen.wait, 30)
    await post.known(jobs, within=100)
    counts = await asyncio.to_thread(call, "GET", f"{post.internet.places.inbox_url}/counters")
    sites = {site: count["most"] for site, count in json.loads(counts[2])["sites"].items()}
    assert sites
    assert max(sites.values()) <= 4, sites
    assert min(sites.values()) >= 2, sites


async def test_a_frozen_owner_sends_nothing_twice_when_it_wakes(post: Post) -> None:
    limit = {"SCAISEND_CONNECTIONS_PER_PATH": "4"}
    frozen = await post.start(**limit)
    await post.start(**limit)
    jobs = on_sites(300, "f", who="slow-0.2")
    await post.send(jobs, a_message=3)
    await asyncio.sleep(0.5)
    frozen.signal(signal.SIGSTOP)
    await asyncio.sleep(25)
    in_doubt = await claims_without_outcome(post, jobs)
    frozen.signal(signal.SIGCONT)
    await asyncio.sleep(5)
    await post.known(jobs, within=60)
    twice = {job.delivery_id for job in jobs if post.arrived(job) > 1}
    assert twice <= in_doubt
    assert frozen.is_running()
    counts = await asyncio.to_thread(call, "GET", f"{post.internet.places.inbox_url}/counters")
    assert max(count["most"] for count in json.loads(counts[2])["sites"].values()) <= 4


async def test_large_content_comes_by_reference_and_whole(post: Post, service_dsn: Callable[[str], str]) -> None:
    """Two recipients share a body of 2 MB; the third's has substitutions."""
    await post.start()
    attachment = Attachment(bytes(range(256)) * 8000, "all.bin")
    content = Content((Part("text/plain", "Dear -name-, see below."),), (attachment,))
    wire = encode(content)
    jobs = [a_job(1, to=f"ok+{number}@tls.test") for number in range(3)]
    submission = submission_of(jobs[0].delivery_id)
    jobs = [
        replace(job, delivery_id=delivery_id(submission, 0, n), content=ContentRef(BlobKey(TENANT, submission, 0), len(wire)))
        for n, job in enumerate(jobs)
    ]
    jobs[2] = replace(jobs[2], head=replace(jobs[2].head, substitutions={"-name-": "Jane"}))
    async with open_pool(service_dsn("api"), name="test") as pool:
        await BlobStore(pool, cache_bytes=0).put(BlobName(TENANT, submission, 0, made_at(submission).date()), wire)
    await post.send(jobs, a_message=3)
    await post.known(jobs)
    for job in jobs:
        ((_, taken),) = post.internet.mailbox.newest(to=str(job.rcpt))
        parsed = BytesParser(policy=default).parsebytes(taken.content)
        assert next(parsed.iter_attachments()).get_content() == attachment.content
        assert ("Jane" in taken.content.decode("latin-1")) == (job is jobs[2])
        assert dkim.verify(taken.content, dnsfunc=lambda *_, **__: f"v=DKIM1; k=rsa; p={PUBLIC}".encode())


async def test_a_job_whose_blob_is_gone_is_parked_alone(post: Post) -> None:
    await post.start()
    job, other = a_job(1, to="ok+1@plain.test"), a_job(2, to="ok+2@plain.test")
    job = replace(job, content=ContentRef(BlobKey(TENANT, submission_of(job.delivery_id), 0), 5000))
    await post.send([job, other], a_message=2)
    await post.known([other])
    parked = await one_message(post, parked_queue(deliver_queue("default", job.shard, Stream.TRANSACTIONAL)))
    assert [each.delivery_id for each in decode_jobs(parked).jobs] == [job.delivery_id]


async def test_without_ledger_first_attempts_go_out_and_repeats_wait(post: Post, free_port: Callable[[], int]) -> None:
    await post.start(LEDGER_URL=f"redis://127.0.0.1:{free_port()}/0")
    first, repeat = a_job(1, to="ok+1@plain.test"), a_job(2, to="ok+2@plain.test", repeat=True)
    await post.send([first, repeat])
    await post.known([first, repeat])
    assert post.kinds(first) == ["delivered"]
    assert post.kinds(repeat) == []
    assert (waiting := post.waits(repeat)) is not None
    assert waiting.job.repeat


async def test_a_repeat_whose_outcome_the_ledger_has_forgotten_is_not_sent_again(post: Post, postgres_dsn: str) -> None:
    await post.start()
    job, fresh = a_job(1, to="ok+1@plain.test", now=time.time() - 7200), a_job(2, to="ok+2@plain.test", now=time.time() - 7200)
    await post.send([job])
    await post.becomes(job, ["delivered"])
    async with redis.asyncio.Redis.from_url(post.fleet.servers["LEDGER_URL"]) as ledger:
        await ledger.delete(claim_key(job))
    await tell(postgres_dsn, job, "delivered", 1, 11)
    await post.send([replace(job, repeat=True), replace(fresh, repeat=True)])
    await post.becomes(fresh, ["delivered"])
    await asyncio.sleep(1)
    assert (post.arrived(job), len(post.events[job.delivery_id])) == (1, 1)
    assert post.waits(job) is None


async def test_an_unrouted_job_finds_its_shard(post: Post) -> None:
    await post.start()
    job = a_job(to="ok+1@d1.s1.sites.test")
    await post.send([job])
    await post.known([job])
    assert post.kinds(job) == ["delivered"]
