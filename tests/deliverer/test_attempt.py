"""Attempts in which nothing was sent leave no claim behind, on the real ledger."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from tests.deliverer.making import CONTENT, a_job

from scaisend_common.mail.retry import RetrySchedule
from scaisend_common.messages import Job, Stream, WhyLater
from scaisend_common.plumbing.postgres import DatabaseAway
from scaisend_common.plumbing.redis import Redis, connect
from scaisend_common.stops import delivery_stop
from scaisend_common.topology import Topology
from scaisend_deliverer.attempt import Attempts
from scaisend_deliverer.connections import LeftAlone
from scaisend_deliverer.ledger import EPOCH, Ledger, claim_key
from scaisend_deliverer.mx import Destination
from scaisend_deliverer.outcome import Dropped
from scaisend_deliverer.permit import Permit
from scaisend_deliverer.senders import CannotSign
from scaisend_deliverer.throttle import Pace
from scaisend_deliverer.transaction import Recalled, Result, Stale, Transaction
from scaisend_deliverer.waiting import Waiting


@pytest.fixture
async def redis(ledger_url: str) -> AsyncIterator[Redis]:
    async with connect(ledger_url) as client:
        await client.set(EPOCH, "1000.0")
        yield client


class Ending(Transaction):
    """A transaction that ends so; `asks`: after it asked for its permit."""

    extensions: Any = None

    def __init__(self, result: Result, *, asks: bool = False) -> None:
        self._result = result
        self._asks = asks

    async def hand_over(self, envelope: object, wire: object, permit: Callable[[], Awaitable[Permit]], deadline: float) -> Result:  # noqa: ARG002 - Transaction's
        if self._asks:
            await permit()
        return self._result

    def hop(self, ms: int) -> Any:  # noqa: ARG002 - Transaction's
        return None


async def no_word(job: Job) -> str | None:
    raise DatabaseAway("gone")


def attempts_of(redis: Redis, **parts: Any) -> Attempts:
    return Attempts(
        ledger=Ledger(redis, "me"),
        schedule=RetrySchedule(),
        topology=Topology(),
        seconds=60.0,
        now=time.time,
        jitter=lambda: 0.5,
        **{"stopped_in_postgres": no_word, "told": None, "senders": None, "contents": None, "mx": None, "writer": None} | parts,
    )


def taken_in(job: Job, *, repeat: bool = False) -> Waiting:
    loop = asyncio.get_running_loop()
    return Waiting(job, "q", repeat=repeat, since=loop.time(), end=loop.create_future())


async def attempt(
    redis: Redis,
    job: Job,
    *lent: Transaction | LeftAlone,
    waiting: Waiting | None = None,
    ready: tuple[Waiting, ...] = (),
    wants: list[dict[str, bool]] | None = None,
) -> Any:
    """Make one attempt over what is lent, in turn; then there is no more to be had. `wants` gets how each was asked for."""
    transactions = list(lent)

    async def answer(value: object, *_: object) -> Any:
        return value

    async def begin(*_: object, **wanted: bool) -> Any:
        if wants is not None:
            wants.append(wanted)
        return transactions.pop(0) if transactions else await asyncio.get_running_loop().create_future()

    connections = SimpleNamespace(begin=begin, end=lambda *_, **__: None, open=0)
    path: Any = SimpleNamespace(connections=connections, pace=Pace(20), most=lambda: 20, ready=ready, look_again=lambda: None)
    mail = SimpleNamespace(envelope=None, wire=(b"", b""))
    parts: dict[str, Any] = {
        "senders": SimpleNamespace(of=lambda *_: answer(SimpleNamespace(at_most_once=True))),
        "contents": SimpleNamespace(of=lambda *_: answer(CONTENT)),
        "mx": SimpleNamespace(destination=lambda *_: answer(Destination(job.site, ()))),
        "writer": SimpleNamespace(room=lambda _: nullcontext(), write=lambda *_: answer(mail)),
    }
    return await attempts_of(redis, **parts).make(path, waiting or taken_in(job))


async def test_a_job_whose_warm_connection_was_over_and_whose_host_is_left_alone_keeps_no_claim(redis: Redis) -> None:
    job = a_job(71)
    fate = await attempt(redis, job, Ending(Stale("closed")), LeftAlone(5.0))
    assert fate.what == WhyLater.SUSPENDED
    await asyncio.sleep(0.05)
    assert await redis.get(claim_key(job)) is None


async def test_only_transactional_mail_goes_at_once_and_sets_a_connection_apart(redis: Redis) -> None:
    for number, stream in enumerate(Stream, 76):
        wants: list[dict[str, bool]] = []
        job = a_job(number, stream=stream)
        await attempt(redis, job, LeftAlone(5.0), ready=(taken_in(a_job(1)),), wants=wants)
        goes_first = stream is Stream.TRANSACTIONAL
        assert wants == [{"at_once": goes_first, "sets_apart": goes_first}]


async def test_a_job_recalled_between_two_connections_keeps_no_claim(redis: Redis) -> None:
    job = a_job(70)
    waiting = taken_in(job)
    waiting.task = asyncio.create_task(attempt(redis, job, Ending(Stale("closed")), waiting=waiting))
    await asyncio.sleep(0.1)
    assert await redis.get(claim_key(job)) is not None
    waiting.recall()
    with pytest.raises(asyncio.CancelledError):
        await waiting.task
    assert await redis.get(claim_key(job)) is None


async def test_a_job_recalled_while_its_claim_is_on_its_way_keeps_none(redis: Redis) -> None:
    job = a_job(72)
    assert await attempt(redis, job, Ending(Recalled())) is None
    await asyncio.sleep(0.05)
    assert await redis.get(claim_key(job)) is None


async def test_a_job_that_nobody_can_say_is_stopped_keeps_no_claim(redis: Redis) -> None:
    job = a_job(73)
    await redis.delete(EPOCH)
    with pytest.raises(DatabaseAway):
        await attempt(redis, job, Ending(Stale("never asked"), asks=True))
    assert await redis.get(claim_key(job)) is None


async def test_a_job_whose_host_is_left_alone_is_dropped_if_it_was_stopped(redis: Redis) -> None:
    job = a_job(74)
    await redis.set(delivery_stop(job.delivery_id), "Cancelled")
    fate = await attempt(redis, job, LeftAlone(900.0))
    assert fate.outcome.ending == Dropped("Cancelled")
    assert fate.letter.later is None


@pytest.mark.parametrize(("repeat", "owner", "what"), [(False, "", "dropped"), (True, "", "dropped"), (True, "other", WhyLater.CLAIMED)])
async def test_a_stopped_job_without_room_is_dropped_unless_somebody_has_it(redis: Redis, repeat: bool, owner: str, what: str) -> None:
    job = a_job(75)
    await redis.set(delivery_stop(job.delivery_id), "Cancelled")
    await redis.set(EPOCH, "0")
    if owner:
        await redis.mset({claim_key(job): owner, f"owner:{owner}": "1"})
    assert (await attempts_of(redis).overflow(taken_in(job, repeat=repeat), 60.0)).what == what


async def test_a_job_without_room_waits_where_nothing_stops_it_and_without_a_ledger(redis: Redis, free_port: Callable[[], int]) -> None:
    assert (await attempts_of(redis).overflow(taken_in(a_job(76)), 60.0)).what == WhyLater.OVERFLOW
    async with connect(f"redis://127.0.0.1:{free_port()}") as nobody:
        assert (await attempts_of(nobody).overflow(taken_in(a_job(76)), 60.0)).what == WhyLater.OVERFLOW


async def test_a_repeat_in_doubt_without_room_waits_where_nobody_can_say_who_signs_it(redis: Redis) -> None:
    async def nobody(*_: object) -> Any:
        raise CannotSign("no key")

    job = a_job(77)
    await redis.mset({EPOCH: "0", claim_key(job): "gone"})
    fate = await attempts_of(redis, senders=SimpleNamespace(of=nobody)).overflow(taken_in(job, repeat=True), 60.0)
    assert fate.what == WhyLater.OVERFLOW
    assert fate.letter.later is not None
    assert fate.letter.later.job.repeat
