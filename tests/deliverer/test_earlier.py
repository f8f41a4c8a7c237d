"""A repeat that comes when the ledger has forgotten its outcome: the timeline is asked, on the real ledger and database."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.deliverer.database import execute
from tests.deliverer.making import NOW, TENANT, a_job
from tests.deliverer.test_attempt import attempts_of, taken_in

from scaisend_common.mail.events import Hop
from scaisend_common.mail.ids import made_at, submission_of
from scaisend_common.mail.reply import Reply
from scaisend_common.mail.verdict import Delivered
from scaisend_common.messages import Job
from scaisend_common.plumbing.postgres import DatabaseAway, open_pool
from scaisend_common.plumbing.redis import Redis, connect
from scaisend_deliverer.attempt import Attempts
from scaisend_deliverer.earlier import MARGIN_SECONDS, OUTCOME_SECONDS, Told, is_concluded, may_be_forgotten
from scaisend_deliverer.ledger import EPOCH, Ledger
from scaisend_deliverer.letter import Letter
from scaisend_deliverer.outcome import Outcome
from scaisend_deliverer.store import find_told

HOURS_AGO = 2 * 3600.0


@given(st.floats(0, 10 * 86400))
def test_the_ledger_is_asked_alone_as_long_as_it_surely_remembers(age: float) -> None:
    job = a_job(now=NOW)
    assert may_be_forgotten(job, NOW + age) == (age > OUTCOME_SECONDS - MARGIN_SECONDS)


@given(st.integers(1, 40), st.integers(0, 40), st.booleans())
def test_an_attempt_is_concluded_if_the_timeline_knows_its_end_or_a_later_one(attempt: int, last: int, ended: bool) -> None:
    job = a_job(now=NOW, attempt=attempt)
    assert is_concluded(job, Told(last, ended)) == (ended or last >= attempt)
    assert not is_concluded(job, None)


@pytest.fixture
async def redis(ledger_url: str) -> AsyncIterator[Redis]:
    async with connect(ledger_url) as client:
        await client.set(EPOCH, "1000.0")
        yield client


@pytest.fixture
async def attempts(redis: Redis, service_dsn: Callable[[str], str]) -> AsyncIterator[Attempts]:
    async with open_pool(service_dsn("deliverer"), name="test") as pool:
        yield attempts_of(redis, told=partial(find_told, pool))


def old_job(number: int, **changes: object) -> Job:
    return a_job(number, now=time.time() - HOURS_AGO, **changes)


async def tell(dsn: str, job: Job, state: str, attempt: int, rank: int) -> None:
    await execute(
        dsn,
        """
        INSERT INTO messages (tenant_id, day, delivery_id, to_email, state, attempt, rank, accepted_at, last_event_at)
        VALUES ($1::uuid, $2, $3, '', $4, $5, $6, now(), now())
        """,
        TENANT,
        made_at(submission_of(job.delivery_id)).date(),
        job.delivery_id,
        state,
        attempt,
        rank,
    )


@pytest.mark.parametrize(
    ("state", "attempt", "rank", "tried"),
    [
        ("processed", 0, 0, True),
        ("deferred", 1, 1, True),
        ("deferred", 2, 1, False),
        ("unknown", 2, 2, False),
        ("deferred", 3, 1, False),
        ("delivered", 2, 11, False),
        ("dropped", 0, 10, False),
        ("bounced", 0, 20, False),
    ],
)
async def test_an_old_repeat_is_tried_only_if_the_timeline_does_not_know_its_end(
    attempts: Attempts, postgres_dsn: str, state: str, attempt: int, rank: int, tried: bool
) -> None:
    job = old_job(1, attempt=2)
    await tell(postgres_dsn, job, state, attempt, rank)
    fate = await attempts.earlier(taken_in(job, repeat=True))
    assert (fate is None) == tried
    if fate is not None:
        assert (fate.what, fate.letter, fate.outcome) == ("concluded", Letter(), None)


async def test_an_old_repeat_of_which_nobody_knows_is_tried(attempts: Attempts) -> None:
    assert await attempts.earlier(taken_in(old_job(2), repeat=True)) is None


async def test_what_the_ledger_still_knows_it_says_itself(attempts: Attempts, redis: Redis, postgres_dsn: str) -> None:
    job = old_job(3)
    await tell(postgres_dsn, job, "delivered", 1, 11)
    await Ledger(redis, "other").record(job, Outcome(Delivered(Reply(250, "2.0.0", "OK")), 1.0, Hop()))
    fate = await attempts.earlier(taken_in(job, repeat=True))
    assert fate is not None
    assert fate.what == "republished"


async def test_a_young_repeat_and_a_job_that_is_none_cost_no_query(redis: Redis) -> None:
    attempts = attempts_of(redis, told=None)
    assert await attempts.earlier(taken_in(a_job(4), repeat=True)) is None
    assert await attempts.earlier(taken_in(old_job(4))) is None


async def test_an_old_repeat_waits_while_the_timeline_cannot_be_asked(redis: Redis, free_port: Callable[[], int]) -> None:
    async with open_pool(f"postgres://nobody@127.0.0.1:{free_port()}/none", name="test") as nobody:
        with pytest.raises(DatabaseAway):
            await attempts_of(redis, told=partial(find_told, nobody)).earlier(taken_in(old_job(5), repeat=True))
