"""Idempotency-Key: the same request is the same submission, whatever happened in between."""

from __future__ import annotations

import asyncio
import time
from uuid import uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.api.conftest import Take
from tests.api.requests import valid
from tests.api.world import World

from scaisend_api.idempotency import LEASE, IdempotencyKeys, Known, OtherBody, Record, Reserved, Running, State, judge
from scaisend_common.mail.ids import SubmissionId, made_at, submission_id
from scaisend_common.plumbing.redis import connect

FIRST, SECOND = SubmissionId("a" * 22), SubmissionId("b" * 22)
records = st.builds(Record, st.sampled_from(State), st.just(FIRST), st.sampled_from(["one", "two"]), st.floats(0, 100))


@given(records, st.sampled_from(["one", "two"]), st.floats(0, 100))
def test_a_record_is_taken_over_only_for_the_same_body_and_when_nobody_is_at_it(record: Record, digest: str, now: float) -> None:
    told = judge(record, digest, now)
    if record.digest != digest:
        assert told == OtherBody()
    elif record.state is State.DONE:
        assert told == Known(FIRST)
    elif record.state is State.RUNNING and now < record.until:
        assert told == Running()
    else:
        assert told is None


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_a_key_goes_from_reserved_to_done_and_keeps_its_id(redis_url: str) -> None:
    async with connect(redis_url) as redis:
        keys = IdempotencyKeys(redis, Clock())
        reserved = await keys.reserve("t", "k", "body", FIRST)
        assert reserved == Reserved(FIRST, repeat=False, key="idempotency:t:k", written=getattr(reserved, "written", b""))
        assert await keys.reserve("t", "k", "body", SECOND) == Running()
        assert await keys.reserve("t", "k", "other", SECOND) == OtherBody()
        assert isinstance(await keys.reserve("other tenant", "k", "body", SECOND), Reserved)
        await keys.settle(reserved, State.DONE)
        assert await keys.reserve("t", "k", "body", SECOND) == Known(FIRST)
        assert 86_000 < await redis.ttl("idempotency:t:k") <= 86_400


async def test_whoever_died_is_followed_by_one_who_repeats_under_the_same_id(redis_url: str) -> None:
    clock = Clock()
    async with connect(redis_url) as redis:
        keys = IdempotencyKeys(redis, clock)
        dead = await keys.reserve("t", "k", "body", FIRST)
        assert isinstance(dead, Reserved)
        clock.now += LEASE + 1
        followers = await asyncio.gather(*(keys.reserve("t", "k", "body", SECOND) for _ in range(8)))
        (follower,) = [each for each in followers if isinstance(each, Reserved)]
        assert (follower.submission_id, follower.repeat) == (FIRST, True)
        assert followers.count(Running()) == 7
        await keys.settle(dead, State.DOUBTFUL)  # it was only slow: it does not take the key back
        assert await keys.reserve("t", "k", "body", SECOND) == Running()
        await keys.settle(follower, State.DONE)
        assert await keys.reserve("t", "k", "body", SECOND) == Known(FIRST)


async def test_what_was_not_taken_is_given_back_but_what_is_in_doubt_is_not(redis_url: str) -> None:
    async with connect(redis_url) as redis:
        keys = IdempotencyKeys(redis, Clock())
        first = await keys.reserve("t", "k", "body", FIRST)
        assert isinstance(first, Reserved)
        await keys.give_back(first)
        second = await keys.reserve("t", "k", "other body", SECOND)
        assert isinstance(second, Reserved)
        assert not second.repeat
        await keys.settle(second, State.DOUBTFUL)
        third = await keys.reserve("t", "k", "other body", FIRST)
        assert isinstance(third, Reserved)
        assert (third.submission_id, third.repeat) == (SECOND, True)
        await keys.give_back(third)
        fourth = await keys.reserve("t", "k", "other body", FIRST)
        assert isinstance(fourth, Reserved)
        assert (fourth.submission_id, fourth.repeat) == (SECOND, True)


async def test_the_same_request_again_has_the_same_answer_and_is_published_once(api: World, key: str, take: Take) -> None:
    name = uuid4().hex
    first, again = api.send(key, valid(), Idempotency_Key=name), api.send(key, valid(), Idempotency_Key=name)
    assert (first.status, again.status) == (202, 202)
    assert first.headers["x-message-id"] == again.headers["x-message-id"]
    assert len(await take()) == 1
    other = api.send(key, valid(subject="Other"), Idempotency_Key=name)
    assert (other.status, len(other.json()["errors"])) == (422, 1)
    assert api.send(key, valid(), Idempotency_Key=uuid4().hex).headers["x-message-id"] != first.headers["x-message-id"]


async def test_a_refused_request_reserves_nothing(api: World, key: str) -> None:
    name = uuid4().hex
    assert api.send(key, valid(content=...), Idempotency_Key=name).status == 400
    assert api.send(key, valid(), Idempotency_Key=name).status == 202


async def test_at_the_same_time_one_runs_and_the_others_are_told_so_or_get_its_answer(api: World, key: str, take: Take) -> None:
    name = uuid4().hex
    answers = await asyncio.gather(*(asyncio.to_thread(api.send, key, valid(), Idempotency_Key=name) for _ in range(10)))
    assert {answer.status for answer in answers} <= {202, 409}
    assert len({answer.headers["x-message-id"] for answer in answers if answer.status == 202}) == 1
    assert len(await take()) == 1
    assert all("retry-after" in answer.headers for answer in answers if answer.status == 409)


@pytest.mark.parametrize("name", ["", "x" * 256, "tab\t"])
async def test_a_malformed_key_is_refused(api: World, key: str, name: str) -> None:
    assert api.send(key, valid(), Idempotency_Key=name).status == 400


@pytest.mark.parametrize("point", ["api.accept.after_publish_before_confirm", "api.accept.after_confirm_before_answer"])
async def test_killed_around_the_confirm_the_retry_has_the_same_id_and_is_marked_a_repeat(own_api: World, take: Take, point: str) -> None:
    key = await own_api.key(await own_api.shop())
    own_api.start(SCAISEND_FAILPOINTS=f"{point}=kill")
    with pytest.raises(OSError):
        own_api.send(key, valid(), Idempotency_Key="once")
    own_api.stop()
    before = await take()
    own_api.start()
    answer = own_api.send(key, valid(), Idempotency_Key="once")
    while answer.status == 409:  # its lease is not over
        await asyncio.sleep(0.5)
        answer = own_api.send(key, valid(), Idempotency_Key="once")
    assert answer.status == 202
    (submission,) = await take()
    assert submission.repeat
    assert submission.submission_id == answer.headers["x-message-id"]
    assert all(each.submission_id == submission.submission_id for each in before)
    assert abs(submission.accepted_at - before[0].accepted_at) < 0.01 if before else True


async def test_a_doubtful_submission_that_the_timeline_knows_was_taken_and_is_not_sent_again(
    own_api: World, redis_url: str, take: Take
) -> None:
    """After two hours the ledger has forgotten what was delivered: a repeat would be sent to everybody once more."""
    tenant_id, old = await own_api.shop(), submission_id(int((time.time() - 7200) * 1000), b"0123456789")
    key = await own_api.key(tenant_id)
    own_api.start()
    own_api.send(key, valid(), Idempotency_Key="once")
    async with connect(redis_url) as redis:
        name = f"idempotency:{tenant_id}:once"
        record = msgspec.json.decode(await redis.get(name) or b"", type=Record)
        doubtful = msgspec.structs.replace(record, state=State.DOUBTFUL, submission_id=old)
        await redis.set(name, msgspec.json.encode(doubtful))
        await own_api.sql(
            "INSERT INTO messages (tenant_id, day, delivery_id, to_email, state, rank, accepted_at, last_event_at)"
            " VALUES ($1, $2, $3, 'a@b.co', 'delivered', 0, now(), now())",
            tenant_id,
            made_at(old).date(),
            f"{old}.0.0",
        )
        await take()
        assert own_api.send(key, valid(), Idempotency_Key="once").headers["x-message-id"] == old
        assert await take() == []
        assert msgspec.json.decode(await redis.get(name) or b"", type=Record).state is State.DONE
        await own_api.sql("DELETE FROM messages WHERE tenant_id = $1", tenant_id)
        await redis.set(name, msgspec.json.encode(doubtful))
        assert own_api.send(key, valid(), Idempotency_Key="once").headers["x-message-id"] == old
        assert [each.repeat for each in await take()] == [True]
