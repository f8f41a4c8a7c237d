"""The ledger, on the real server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY
from tests.deliverer.making import TENANT, a_job

from scaisend_common.mail.address import Address
from scaisend_common.mail.events import Hop
from scaisend_common.mail.reply import Reply
from scaisend_common.mail.verdict import Delivered
from scaisend_common.plumbing.redis import Redis, RedisAway, connect
from scaisend_common.stops import address_stop, batch_stop, delivery_stop, tenant_stop
from scaisend_deliverer.earlier import Held, InDoubt, Untried
from scaisend_deliverer.ledger import EPOCH, Ledger, claim_key
from scaisend_deliverer.outcome import Outcome
from scaisend_deliverer.permit import Go, Stopped, Taken, Unsure, permit_of

OUTCOME = Outcome(Delivered(Reply(250, "2.0.0", "OK")), 1.0, Hop())


def always() -> bool:
    return True


@pytest.fixture
async def redis(ledger_url: str) -> AsyncIterator[Redis]:
    async with connect(ledger_url) as client:
        await client.set(EPOCH, "1000.0")
        yield client


@pytest.fixture
async def ledger(redis: Redis) -> Ledger:
    ledger = Ledger(redis, "me")
    await ledger.refresh()
    return ledger


async def test_an_attempt_is_claimed_once(ledger: Ledger, redis: Redis) -> None:
    job = a_job()
    first, second = await asyncio.gather(ledger.claim(job), ledger.claim(job))
    assert isinstance(first, Go)
    assert first.holds()
    assert second == Taken(b"me")
    assert 6 * 86400 < await redis.ttl(claim_key(job)) <= 7 * 86400
    assert await Ledger(redis, "other").claim(job) == Taken(b"me")


async def test_many_claims_travel_together_and_get_their_own_answers(ledger: Ledger, redis: Redis) -> None:
    jobs = [a_job(number) for number in range(500)]
    await redis.set(delivery_stop(jobs[250].delivery_id), "Cancelled")
    permits = await asyncio.gather(*(ledger.claim(job) for job in jobs))
    assert [n for n, permit in enumerate(permits) if not isinstance(permit, Go)] == [250]


async def test_claims_and_outcomes_share_calls_and_nobody_gets_the_answer_of_another(ledger: Ledger, redis: Redis) -> None:
    concluded, claimed = [a_job(number) for number in range(150)], [a_job(number) for number in range(150, 300)]
    await asyncio.gather(*(ledger.claim(job) for job in concluded))
    await redis.set(claim_key(claimed[70]), "other")
    outcomes = [Outcome(Delivered(Reply(250, "2.0.0", f"as {n}")), 1.0, Hop()) for n in range(150)]
    calls = _calls()
    permits, records = [], []
    for job, done, outcome in zip(claimed, concluded, outcomes, strict=True):
        permits.append(ledger.claim(job))
        records.append(ledger.record(done, outcome))
    assert [n for n, permit in enumerate(await asyncio.gather(*permits)) if not isinstance(permit, Go)] == [70]
    assert permits[70].result() == Taken(b"other")
    assert await asyncio.gather(*records) == [None] * 150
    assert [await ledger.earlier(job) for job in concluded] == outcomes
    assert _calls() - calls == 2


def _calls() -> float:
    return REGISTRY.get_sample_value("scaisend_ledger_seconds_count", {"call": "write"}) or 0


@pytest.mark.parametrize(
    "stop",
    [
        tenant_stop(TENANT),
        address_stop(TENANT, Address("OK", "plain.test")),
        delivery_stop(a_job(now=1e9).delivery_id),
        batch_stop(TENANT, "batch"),
    ],
)
async def test_each_kind_of_stop_stops(ledger: Ledger, redis: Redis, stop: str) -> None:
    await redis.set(stop, "Because")
    assert await ledger.claim(a_job(now=1e9, batch_id="batch")) == Stopped("Because")


async def test_a_stop_that_the_mail_passes_by_does_not_stop_it() -> None:
    bypass = b'{"mail_settings":{"bypass_bounce_management":{"enable":true}}}'
    job = a_job()
    passing = a_job()
    passing = type(job)(**{name: getattr(job, name) for name in job.__struct_fields__} | {"head": _with_settings(job, bypass)})
    stops = (None, b"Bounced Address", None, None)
    assert permit_of(job, None, stops, knows_stops=True, holds=always) == Stopped("Bounced Address")
    assert permit_of(passing, None, stops, knows_stops=True, holds=always) == Go(always)


def _with_settings(job: object, settings: bytes) -> object:
    from msgspec.structs import replace

    return replace(job.head, settings=settings)  # type: ignore[attr-defined]


async def test_another_attempt_is_another_claim(ledger: Ledger) -> None:
    assert isinstance(await ledger.claim(a_job(now=1e9)), Go)
    assert isinstance(await ledger.claim(a_job(now=1e9, attempt=2)), Go)


async def test_a_ledger_without_epoch_knows_no_stops(ledger: Ledger, redis: Redis) -> None:
    await redis.delete(EPOCH)
    assert isinstance(await ledger.claim(a_job()), Unsure)
    with pytest.raises(RedisAway):
        await ledger.earlier(a_job())


async def test_an_outcome_is_found_for_an_hour_after_it_was_published(ledger: Ledger, redis: Redis) -> None:
    job = a_job()
    await ledger.claim(job)
    await ledger.record(job, OUTCOME)
    assert await ledger.earlier(job) == OUTCOME
    assert await redis.ttl(claim_key(job)) > 6 * 86400  # the broker may be away for long
    ledger.shorten(job)
    async with asyncio.timeout(5):
        while await redis.ttl(claim_key(job)) > 6 * 86400:  # noqa: ASYNC110 - the ledger says nothing when it has done so
            await asyncio.sleep(0.05)
    assert 3500 < await redis.ttl(claim_key(job)) <= 3600


async def test_a_claim_of_somebody_living_is_held_and_of_somebody_gone_in_doubt(ledger: Ledger, redis: Redis) -> None:
    job = a_job()
    other = Ledger(redis, "other")
    await other.refresh()
    await other.claim(job)
    assert await ledger.earlier(job) == Held("other")
    await redis.delete("owner:other")
    assert isinstance(await ledger.earlier(job), InDoubt)


async def test_a_claim_of_our_own_that_nobody_works_on_is_in_doubt(ledger: Ledger) -> None:
    job = a_job()
    await ledger.claim(job)
    assert isinstance(await ledger.earlier(job), InDoubt)


async def test_what_was_never_claimed_is_untried_unless_the_ledger_is_younger(ledger: Ledger, redis: Redis) -> None:
    job = a_job()
    assert await ledger.earlier(job) == Untried()
    await redis.set(EPOCH, str(time.time() + 60))
    assert isinstance(await ledger.earlier(job), InDoubt)


async def test_a_released_claim_is_free_and_only_ours_is_released(ledger: Ledger, redis: Redis) -> None:
    job = a_job()
    await ledger.claim(job)
    await Ledger(redis, "other").release(job)
    assert await redis.get(claim_key(job)) == b"me"
    await ledger.release(job)
    assert await ledger.earlier(job) == Untried()


async def test_who_was_not_heard_of_for_a_while_holds_nothing(redis: Redis) -> None:
    now = 0.0
    ledger = Ledger(redis, "me", clock=lambda: now)
    assert not ledger.holds()
    await ledger.refresh()
    permit = await ledger.claim(a_job())
    assert isinstance(permit, Go)
    assert permit.holds()
    now = 11.0  # it stood still; others may take it for dead at 15
    assert not permit.holds()
    assert 10 < await redis.ttl("owner:me") <= 15


async def test_a_ledger_that_is_away_says_so(free_port: object) -> None:
    async with connect(f"redis://127.0.0.1:{free_port()}") as nobody:  # type: ignore[operator]
        ledger = Ledger(nobody, "me")
        await ledger.refresh()
        for asked in (ledger.claim(a_job()), ledger.record(a_job(), OUTCOME), ledger.earlier(a_job())):
            with pytest.raises(RedisAway):
                await asked
