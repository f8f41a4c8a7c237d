"""What the api does while something that it needs is away, and when it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from time import monotonic
from typing import Any

from tests.api.conftest import Take
from tests.api.relay import relay
from tests.api.requests import to, valid
from tests.api.world import World, eventually

from scaisend_common.messages import Content


async def test_ready_means_the_broker_and_the_rest_is_degraded(own_api: World) -> None:
    own_api.start()
    await eventually(lambda: own_api.ready()[0] == 200)
    await eventually(lambda: own_api.ready()[1].get("status") == "ready")
    assert set(own_api.ready()[1]["checks"]) >= {"broker", "postgres", "redis"}


async def test_without_the_broker_mail_is_refused_at_once_with_retry_after(own_api: World) -> None:
    async with relay(own_api.environment["AMQP_URL"]) as broker:
        own_api.start(AMQP_URL=broker.url)
        key = await own_api.key(await own_api.shop())
        assert await asyncio.to_thread(own_api.send, key, valid()) is not None
        await broker.cut()
        await eventually(lambda: own_api.ready()[0] == 503)
        begun = monotonic()
        answer = await asyncio.to_thread(own_api.send, key, valid())
        assert (answer.status, answer.headers["retry-after"].isdigit()) == (503, True)
        assert monotonic() - begun < 1
        await broker.mend()
        await eventually(lambda: own_api.send(key, valid()).status == 202)


async def test_a_broker_that_does_not_answer_is_a_503_within_five_seconds(own_api: World) -> None:
    async with relay(own_api.environment["AMQP_URL"]) as broker:
        own_api.start(AMQP_URL=broker.url)
        key = await own_api.key(await own_api.shop())
        await eventually(lambda: own_api.send(key, valid()).status == 202)
        broker.freeze()
        begun = monotonic()
        answer = await asyncio.to_thread(own_api.send, key, valid())
        assert (answer.status, "retry-after" in answer.headers) == (503, True)
        assert monotonic() - begun < 5


async def test_without_postgres_known_keys_go_on_sending_and_unknown_ones_are_503(own_api: World, take: Take) -> None:
    async with relay(own_api.environment["POSTGRES_DSN"]) as database:
        own_api.start(POSTGRES_DSN=database.url)
        tenant = await own_api.shop()
        known, unknown = await own_api.key(tenant), await own_api.key(tenant)
        assert (await asyncio.to_thread(own_api.send, known, valid())).status == 202
        await database.cut()
        await eventually(lambda: own_api.ready()[1].get("status") == "degraded")
        assert own_api.ready()[0] == 200
        assert (await asyncio.to_thread(own_api.send, known, valid())).status == 202
        answer = await asyncio.to_thread(own_api.send, unknown, valid())
        assert (answer.status, "retry-after" in answer.headers) == (503, True)
        await take()
        many = valid(personalizations=[to(f"a{n}@b.co") for n in range(200)], content=[{"type": "text/plain", "value": "x" * 4000}])
        assert (await asyncio.to_thread(own_api.send, known, many)).status == 202  # small enough to travel in every copy
        assert isinstance((await take())[0].content, Content)
        large = valid(content=[{"type": "text/plain", "value": "x" * 400_000}])
        assert (await asyncio.to_thread(own_api.send, known, large)).status == 503
        assert (await asyncio.to_thread(own_api.get, known, "/v3/messages/" + "A" * 22)).status == 503
        await database.mend()
        await eventually(lambda: own_api.send(unknown, large).status == 202, within=20)


async def test_without_redis_only_requests_with_a_key_are_refused(own_api: World) -> None:
    async with relay(own_api.environment["REDIS_URL"]) as redis:
        own_api.start(REDIS_URL=redis.url)
        key = await own_api.key(await own_api.shop())
        assert (await asyncio.to_thread(own_api.send, key, valid(), Idempotency_Key="a")).status == 202
        await redis.cut()
        await eventually(lambda: own_api.ready()[1].get("status") == "degraded")
        assert (await asyncio.to_thread(own_api.send, key, valid())).status == 202
        answer = await asyncio.to_thread(own_api.send, key, valid(), Idempotency_Key="b")
        assert (answer.status, "retry-after" in answer.headers) == (503, True)
        await redis.mend()
        await eventually(lambda: own_api.send(key, valid(), Idempotency_Key="b").status == 202)


async def test_sigterm_answers_what_is_in_work_and_loses_nothing(own_api: World, take: Take) -> None:
    own_api.start()
    key = await own_api.key(await own_api.shop())
    assert own_api.send(key, valid()).status == 202
    await take()
    accepted: list[str] = []
    refused: list[Any] = []

    def send_until_refused() -> None:
        while True:
            try:
                answer = own_api.send(key, valid())
            except OSError as error:
                refused.append(error)
                return
            assert answer.status == 202
            accepted.append(answer.headers["x-message-id"])

    senders = [asyncio.create_task(asyncio.to_thread(send_until_refused)) for _ in range(8)]
    await asyncio.sleep(1)
    assert own_api.popen
    begun = monotonic()
    own_api.popen.send_signal(signal.SIGTERM)
    await asyncio.gather(*senders)
    assert await asyncio.to_thread(own_api.stop) == 0
    assert monotonic() - begun < 10
    published = {submission.submission_id for submission in await take()}
    assert accepted
    assert set(accepted) <= published
    assert len(published) - len(accepted) <= len(refused)


async def test_a_bug_is_a_500_without_a_word_of_what_it_was_and_a_line_in_the_log(own_api: World) -> None:
    key = await own_api.key(await own_api.shop())
    own_api.start(SCAISEND_FAILPOINTS="api.accept.after_store_before_publish=raise*1")
    own_api.may_fail = True
    answer = own_api.send(key, valid())
    assert (answer.status, answer.body) == (500, b'{"errors":[{"field":null,"message":"internal server error"}]}')
    assert len(own_api.log_lines("request_failed")) == 1
    assert own_api.send(key, valid()).status == 202


async def test_requests_are_counted_by_route_and_status_and_nothing_personal(own_api: World) -> None:
    own_api.start()
    key = await own_api.key(await own_api.shop())
    assert [own_api.send(key, each).status for each in (valid(), valid(), b"{")] == [202, 202, 400]
    metrics = own_api.metrics()
    assert 'scaisend_api_requests_total{route="mail_send",status="202"} 2.0' in metrics
    assert 'scaisend_api_requests_total{route="mail_send",status="400"} 1.0' in metrics
    assert "scaisend_api_accept_seconds_count 2.0" in metrics
    assert "sender.test" not in metrics


async def test_no_key_is_written_into_the_log(own_api: World) -> None:
    own_api.start()
    key = await own_api.key(await own_api.shop())
    for each in (key, key[:-1] + "A", "SG." + "x" * 22 + "." + "y" * 43):
        own_api.send(each, valid())
        own_api.send(each, b"{")
    own_api.call("GET", f"/v3/messages/{key}", Authorization=f"Bearer {key}")
    assert key[26:] not in own_api.log.read_text()
