"""A request sent again under its Idempotency-Key is the same submission: whatever died meanwhile, one mail arrives."""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack
from http.client import RemoteDisconnected
from time import monotonic
from typing import Any
from urllib.error import URLError
from uuid import uuid4

import pytest
from tests.e2e.conftest import Town
from tests.e2e.fleet import Process, call, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("here")]
Answer = tuple[int, str, bytes]


def address() -> str:
    return f"ok+{uuid4().hex[:10]}@plain.test"


def mail(town: Town, to: str, **changes: Any) -> dict[str, Any]:
    return {
        "personalizations": [{"to": [{"email": to}]}],
        "from": {"email": town.sender},
        "subject": "Your order",
        "content": [{"type": "text/plain", "value": "Thank you."}],
    } | changes


def post(town: Town, body: dict[str, Any], key: str, url: str = "") -> Answer:
    """Send with a key; return status, X-Message-Id and body."""
    headers = {"Idempotency-Key": key} if key else {}
    status, answered, answer = call("POST", f"{url or town.fleet.api_url}/v3/mail/send", body, town.api_key, headers)
    return status, answered.get("x-message-id", ""), answer


def why(answer: Answer) -> str:
    return str(json.loads(answer[2])["errors"][0]["message"])


async def arrives_once(town: Town, to: str) -> None:
    """Wait for a mail, and for the time in which a second one would have come."""
    await town.arrived(to)
    await asyncio.sleep(2)
    assert len(town.inbox(to)) == 1


async def test_the_same_request_again_has_the_same_answer_and_one_mail_arrives(here: Town) -> None:
    to, key = address(), uuid4().hex
    first = post(here, mail(here, to), key)
    assert first[0] == 202
    assert [post(here, mail(here, to), key) for _ in range(3)] == [first] * 3
    await arrives_once(here, to)


async def test_another_body_under_the_same_key_is_422_and_sends_nothing(here: Town) -> None:
    to, other, key = address(), address(), uuid4().hex
    assert post(here, mail(here, to), key)[0] == 202
    refused = post(here, mail(here, other), key)
    assert (refused[0], refused[1]) == (422, "")
    assert "another request body" in why(refused)
    await here.arrived(to)
    assert not here.inbox(other)


async def test_a_key_belongs_to_one_tenant(here: Town, hooks: Town) -> None:
    key = uuid4().hex
    one, two = (post(town, mail(town, address()), key) for town in (here, hooks))
    assert one[0] == two[0] == 202
    assert one[1] != two[1]


async def test_without_a_key_the_same_request_is_another_mail(here: Town) -> None:
    to = address()
    ids = {post(here, mail(here, to), "")[1] for _ in range(2)}
    assert len(ids) == 2
    await here.arrived(to, count=2)


async def test_a_refused_request_leaves_its_key_free(here: Town) -> None:
    to, key = address(), uuid4().hex
    assert post(here, mail(here, to, subject=""), key)[0] == 400
    assert post(here, mail(here, to), key)[0] == 202


@pytest.mark.parametrize("key", ["x" * 256, "a\tb"])
async def test_a_key_that_is_none_is_refused(here: Town, key: str) -> None:
    assert post(here, mail(here, address()), key)[0] == 400


async def test_twenty_at_once_are_one_mail(here: Town) -> None:
    to, key = address(), uuid4().hex
    answers = await asyncio.gather(*(asyncio.to_thread(post, here, mail(here, to), key) for _ in range(20)))
    assert {status for status, _, _ in answers} <= {202, 409}
    assert len({message_id for status, message_id, _ in answers if status == 202}) == 1
    await arrives_once(here, to)


async def test_while_the_first_is_running_the_second_is_409_and_afterwards_it_is_the_first(here: Town) -> None:
    to, key = address(), uuid4().hex
    slow = {"SCAISEND_FAILPOINTS": "api.accept.after_store_before_publish=sleep:3*1"}
    port = here.fleet.free_port()
    with here.fleet.beside("api", SCAISEND_API_PORT=str(port), **slow):
        first = asyncio.create_task(asyncio.to_thread(post, here, mail(here, to), key, f"http://127.0.0.1:{port}"))
        await asyncio.sleep(1)
        second = await asyncio.to_thread(post, here, mail(here, to), key)
        other = await asyncio.to_thread(post, here, mail(here, address()), key)
        done = await first
    assert (second[0], other[0]) == (409, 422)
    assert done[0] == 202
    assert post(here, mail(here, to), key) == done
    await arrives_once(here, to)


async def test_killed_at_any_line_the_request_again_is_one_mail(here: Town) -> None:
    """Before the publish, after it, after the confirm: the client saw a reset each time and cannot tell."""
    with ExitStack() as stack:
        places = [
            (where, here.fleet.free_port())
            for where in ("after_store_before_publish", "after_publish_before_confirm", "after_confirm_before_answer")
        ]
        apis = [
            stack.enter_context(here.fleet.beside("api", SCAISEND_API_PORT=str(port), SCAISEND_FAILPOINTS=f"api.accept.{where}=kill"))
            for where, port in places
        ]
        await asyncio.gather(*(dies_and_is_asked_again(here, api, port) for api, (_, port) in zip(apis, places, strict=True)))


async def dies_and_is_asked_again(here: Town, api: Process, port: int) -> None:
    to, key = address(), uuid4().hex
    with pytest.raises((URLError, RemoteDisconnected, ConnectionError)):
        await asyncio.to_thread(post, here, mail(here, to), key, f"http://127.0.0.1:{port}")
    assert await asyncio.to_thread(api.popen.wait, 10) == -9
    assert post(here, mail(here, to), key)[0] == 409, "until its lease is over the first may be running"

    def taken() -> Answer | None:
        return answer if (answer := post(here, mail(here, to), key))[0] == 202 else None

    answer = await eventually(taken, within=20, why="the lease of the dead is over")
    assert post(here, mail(here, to), key) == answer
    await arrives_once(here, to)
    assert (await here.settled(answer[1], "delivered"))["attempts"]


async def test_without_redis_keyed_requests_are_503_and_the_others_are_taken(here: Town) -> None:
    port = here.fleet.free_port()
    nowhere = f"redis://127.0.0.1:{here.fleet.free_port()}/0"
    with here.fleet.beside("api", SCAISEND_API_PORT=str(port), REDIS_URL=nowhere) as process:
        url = f"http://127.0.0.1:{port}"
        begun = monotonic()
        status, headers, _ = call("POST", f"{url}/v3/mail/send", mail(here, address()), here.api_key, {"Idempotency-Key": uuid4().hex})
        assert monotonic() - begun < 5
        assert status == 503
        assert int(headers["retry-after"]) > 0
        to = address()
        assert post(here, mail(here, to), "", url)[0] == 202
        await here.arrived(to)
        status, _, body = call("GET", f"{process.health_url}/ready")
        assert status == 200
        assert b"degraded" in body
