"""What fails while a server is away: the one refusal that is honest, and nothing else; and all is well when it is back."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any
from uuid import uuid4

import pytest
from tests.e2e.bounces import bounce
from tests.e2e.conftest import FallingTown, Town
from tests.e2e.fleet import call, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("falling"), pytest.mark.timeout(300)]
PATIENCE = 5.0  # seconds until a refusal


def address(domain: str = "plain.test") -> str:
    return f"ok+{uuid4().hex[:10]}@{domain}"


def post(town: Town, to: str, **headers: str) -> tuple[int, dict[str, str]]:
    """Send a mail, which must be answered soon; return status and headers."""
    body: dict[str, Any] = {
        "personalizations": [{"to": [{"email": to}]}],
        "from": {"email": town.sender},
        "subject": "Outage",
        "content": [{"type": "text/plain", "value": "x"}],
    }
    begun = monotonic()
    status, answered, _ = call(
        "POST", f"{town.fleet.api_url}/v3/mail/send", body, town.api_key, {k.replace("_", "-"): v for k, v in headers.items()}
    )
    assert monotonic() - begun < PATIENCE
    return status, answered


def refuses(town: Town) -> None:
    """Several at once and one after the other: each is a 503 that says when to come back."""
    for _ in range(3):
        status, headers = post(town, address())
        assert status == 503
        assert int(headers["retry-after"]) > 0


async def takes(town: Town, within: float = 30) -> str:
    """Wait until a mail is taken; return its recipient."""
    to = address()
    await eventually(lambda: post(town, to)[0] == 202, within=within, why="mail is taken again")
    return to


def is_ready(town: Town, service: str) -> tuple[int, bytes]:
    """What a service's first process says at /ready."""
    status, _, body = call("GET", f"{town.fleet.of(service)[0].health_url}/ready")
    return status, body


async def test_while_the_broker_is_dead_mail_is_refused_and_afterwards_everything_arrives(falling: FallingTown) -> None:
    town = falling.town
    before = [address(f"d{n}.s{n % 4}.sites.test") for n in range(40)]
    for to in before:
        assert post(town, to)[0] == 202
    await asyncio.to_thread(falling.ruins.kill, "rabbitmq")
    try:
        await eventually(lambda: post(town, address())[0] == 503, within=PATIENCE, why="the loss is noticed")
        refuses(town)
        assert is_ready(town, "api")[0] == 503
        for service in ("scheduler", "deliverer", "webhook-fanout", "bounce-inbound"):
            assert call("GET", f"{town.fleet.of(service)[0].health_url}/health")[0] == 200
    finally:
        await asyncio.to_thread(falling.ruins.restart, "rabbitmq")
    after = await takes(town)
    for to in [*before, after]:
        await town.arrived(to, within=40)
    assert all(len(town.inbox(to)) == 1 for to in before)


async def test_while_the_broker_is_dead_bounces_are_put_off_and_afterwards_taken(falling: FallingTown) -> None:
    town, to = falling.town, address()
    status, headers = post(town, to)
    assert status == 202
    [mail] = await town.arrived(to, within=40)
    await town.settled(headers["x-message-id"], "delivered")
    await asyncio.to_thread(falling.ruins.kill, "rabbitmq")
    try:
        assert (await asyncio.to_thread(bounce, town, mail)).startswith("451 ")
    finally:
        await asyncio.to_thread(falling.ruins.restart, "rabbitmq")
    await takes(town)
    await eventually(lambda: bounce(town, mail) == "", within=30, why="the bounce is taken")
    await town.settled(headers["x-message-id"], "bounced")


async def test_while_the_broker_answers_nothing_mail_is_refused(falling: FallingTown) -> None:
    with falling.ruins.frozen("rabbitmq"):
        answers = await asyncio.gather(*(asyncio.to_thread(post, falling.town, address()) for _ in range(10)))
        assert {status for status, _ in answers} == {503}
        refuses(falling.town)
    await falling.town.arrived(await takes(falling.town))


async def test_while_the_broker_blocks_whoever_publishes_mail_is_refused(falling: FallingTown) -> None:
    town = falling.town
    with falling.ruins.memory_alarm():
        await eventually(lambda: post(town, address())[0] == 503, within=PATIENCE, why="the alarm is noticed")
        refuses(town)
    await town.arrived(await takes(town))


def events_of(town: Town, message_id: str) -> list[str]:
    return [event["event_name"] for delivery in town.timeline(message_id).get("deliveries", []) for event in delivery["events"]]


async def test_while_postgres_is_dead_mail_is_taken_and_afterwards_its_timeline_is_whole(falling: FallingTown) -> None:
    town = falling.town
    town.send(address())  # whoever sends is known
    await asyncio.to_thread(falling.ruins.kill, "postgres")
    try:
        to = address()
        message_id = town.send(to)
        await eventually(lambda: b"degraded" in is_ready(town, "api")[1], within=20, why="the api says what it lacks")
        assert is_ready(town, "api")[0] == 200
        assert post(town, address())[0] == 202
        assert call("GET", f"{town.fleet.api_url}/v3/messages/{uuid4().hex[:22]}", key=town.api_key)[0] in {404, 503}
    finally:
        await asyncio.to_thread(falling.ruins.restart, "postgres")
    await town.arrived(to, within=40)
    await eventually(lambda: events_of(town, message_id) == ["processed", "delivered"], within=40, why="the timeline is whole")


async def test_while_redis_is_dead_only_keyed_requests_are_refused(falling: FallingTown) -> None:
    town = falling.town
    await asyncio.to_thread(falling.ruins.kill, "redis")
    try:
        to = address()
        assert post(town, to)[0] == 202
        await town.arrived(to)
        status, headers = post(town, address(), Idempotency_Key=uuid4().hex)
        assert (status, "retry-after" in headers) == (503, True)
        assert is_ready(town, "api")[0] == 200
    finally:
        await asyncio.to_thread(falling.ruins.restart, "redis")
    key = uuid4().hex
    await eventually(lambda: post(town, to, Idempotency_Key=key)[0] == 202, within=20, why="keys are taken again")


async def test_while_the_ledger_is_dead_mail_that_is_surely_new_is_delivered_once(falling: FallingTown) -> None:
    town = falling.town
    await asyncio.to_thread(falling.ruins.kill, "ledger")
    people = [address() for _ in range(5)]
    try:
        ids = [town.send(to) for to in people]
        for to in people:
            await town.arrived(to, within=40)
    finally:
        await asyncio.to_thread(falling.ruins.restart, "ledger")
    for message_id in ids:
        await town.settled(message_id, "delivered", within=40)
    await asyncio.sleep(2)
    assert [len(town.inbox(to)) for to in people] == [1] * 5
    await town.arrived(await takes(town))


async def test_services_that_start_before_their_servers_wait_for_them(falling: FallingTown) -> None:
    town = falling.town
    await asyncio.to_thread(falling.ruins.kill, "rabbitmq", "postgres", "redis", "ledger")
    for process in [*town.fleet.processes]:
        process.kill()
        town.fleet.processes.remove(process)
    started = [town.fleet.start(service) for service in ("api", "webhook-fanout", "deliverer", "bounce-inbound", "scheduler")]
    await asyncio.sleep(4)
    assert all(process.is_running() for process in started)
    for name in ("ledger", "redis", "postgres", "rabbitmq"):
        await asyncio.to_thread(falling.ruins.restart, name)
    for process in started:
        await asyncio.to_thread(town.fleet.ready, process, 60)
    to = address()
    await town.settled(town.send(to), "delivered", within=40)
    started = [town.fleet.start(service) for service in ("scheduler", "deliverer", "webhook-fanout")]
    for process in started:
        await asyncio.to_thread(town.fleet.ready, process)
