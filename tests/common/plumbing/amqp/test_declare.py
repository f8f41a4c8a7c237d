from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from tests.common.plumbing.amqp.conftest import Broker

from scaisend_common.plumbing.amqp import Publisher, Unavailable, check_declared
from scaisend_common.plumbing.amqp.declare import DeclarationFailed, declare

NOW = timedelta()


@dataclass(frozen=True)
class Exchange:
    name: str
    kind: str


@dataclass(frozen=True)
class Queue:
    name: str
    exchange: str
    key: str
    arguments: dict[str, str | int] = field(default_factory=lambda: {"x-queue-type": "quorum"})


EXCHANGES = [Exchange("mail", "direct")]
QUEUES = [Queue("one", "mail", "1"), Queue("two", "mail", "2")]


async def test_declaring_makes_everything_so_and_again_is_no_change(broker: Broker) -> None:
    said: list[str] = []
    first = await declare(broker.url, EXCHANGES, QUEUES, settle=timedelta(seconds=0.2), progress=said.append)
    assert (first.made, first.stood, first.probed) == (("one", "two"), (), 2)
    assert any("settle" in line for line in said)
    said.clear()
    again = await declare(broker.url, EXCHANGES, QUEUES, progress=said.append)
    assert (again.made, again.stood, again.probed) == ((), ("one", "two"), 2)
    assert not any("settle" in line for line in said), "nothing is new, so nothing is waited for"
    async with Publisher(broker.url, name="t") as publisher:
        await publisher.publish("mail", "2", b"for two")
    assert (await broker.get("two")).body == b"for two"
    assert await broker.is_empty("one"), "the probe went back out"


async def test_a_queue_with_messages_is_left_alone(broker: Broker) -> None:
    await declare(broker.url, EXCHANGES, QUEUES, settle=NOW)
    await broker.put("one", b"work")
    await (await broker.get("one")).nack()
    again = await declare(broker.url, EXCHANGES, QUEUES, settle=NOW)
    assert again.probed in (1, 2), "the broker's count lags"
    assert (await broker.get("one")).body == b"work"


async def test_a_queue_with_other_arguments_is_named(broker: Broker) -> None:
    await declare(broker.url, EXCHANGES, QUEUES, settle=NOW)
    changed = [Queue("one", "mail", "1", {"x-queue-type": "quorum", "x-max-length": 5})]
    with pytest.raises(DeclarationFailed, match=r"queue one exists with other arguments.*x-max-length"):
        await declare(broker.url, EXCHANGES, changed, settle=NOW)


async def test_an_exchange_of_another_kind_is_named(broker: Broker) -> None:
    await declare(broker.url, EXCHANGES, [], settle=NOW)
    with pytest.raises(DeclarationFailed, match="exchange mail exists"):
        await declare(broker.url, [Exchange("mail", "fanout")], [], settle=NOW)


async def test_a_queue_that_gives_no_message_fails_the_declaration(broker: Broker) -> None:
    swallows = Queue("hole", "mail", "h", {"x-queue-type": "classic", "x-message-ttl": 0})  # drops at once what nobody consumes
    with pytest.raises(DeclarationFailed, match="queue hole takes or gives no message"):
        await declare(broker.url, EXCHANGES, [swallows, *QUEUES], settle=NOW, patience=timedelta(seconds=0.5))


async def test_a_broker_that_is_not_there_is_named(free_port: Callable[[], int]) -> None:
    with pytest.raises(DeclarationFailed, match=r"127\.0\.0\.1"):
        await declare(f"amqp://127.0.0.1:{free_port()}", [], [])


async def test_checking_tells_what_is_missing(broker: Broker, free_port: Callable[[], int]) -> None:
    await declare(broker.url, EXCHANGES, QUEUES, settle=NOW)
    assert await check_declared(broker.url, ["one", "three", "two", "four"]) == ["three", "four"]
    with pytest.raises(Unavailable):
        await check_declared(f"amqp://127.0.0.1:{free_port()}", ["one"])
