from __future__ import annotations

import asyncio

import pytest
from tests.common.plumbing.amqp.conftest import Broker, Relay, eventually, running

from scaisend_common.plumbing.amqp import ControlListener, Publisher


class Ear:
    def __init__(self) -> None:
        self.heard: list[str] = []
        self.connections = 0

    async def hear(self, message: str) -> None:
        if message == "bug":
            raise KeyError(message)
        self.heard.append(message)

    async def connected(self) -> None:
        self.connections += 1
        self.heard.append("connected")


def listener(url: str, ear: Ear) -> ControlListener[str]:
    return ControlListener(url, "control", bytes.decode, ear.hear, name="t", connected=ear.connected)


async def test_every_listener_hears_everything_in_order(broker: Broker) -> None:
    await broker.channel.declare_exchange("control", "fanout", durable=True)
    one, other = Ear(), Ear()
    async with running(listener(broker.url, one)), running(listener(broker.url, other)), Publisher(broker.url, name="p") as publisher:
        await asyncio.gather(*(publisher.publish("control", "", str(n).encode()) for n in range(50)))
        await eventually(lambda: len(one.heard) == len(other.heard) == 51)
    assert one.heard == other.heard == ["connected", *map(str, range(50))]


async def test_what_cannot_be_decoded_is_skipped(broker: Broker) -> None:
    await broker.channel.declare_exchange("control", "fanout", durable=True)
    ear = Ear()
    async with running(listener(broker.url, ear)), Publisher(broker.url, name="p") as publisher:
        await publisher.publish("control", "", b"\x80")
        await publisher.publish("control", "", b"fine")
        await eventually(lambda: "fine" in ear.heard)


async def test_after_a_lost_connection_it_is_told_and_hears_again(broker: Broker, relay: Relay) -> None:
    await broker.channel.declare_exchange("control", "fanout", durable=True)
    ear = Ear()
    async with running(it := listener(relay.url, ear)), Publisher(broker.url, name="p") as publisher:
        relay.cut()
        await eventually(lambda: not it.is_ready)
        await eventually(lambda: it.is_ready)
        await publisher.publish("control", "", b"again")
        await eventually(lambda: "again" in ear.heard)
    assert ear.connections == 2


async def test_a_bug_in_what_it_calls_ends_it(broker: Broker) -> None:
    await broker.channel.declare_exchange("control", "fanout", durable=True)
    it = listener(broker.url, Ear())
    task = asyncio.create_task(it.run())
    await eventually(lambda: it.is_ready)
    async with Publisher(broker.url, name="p") as publisher:
        await publisher.publish("control", "", b"bug")
    with pytest.raises(KeyError):
        await asyncio.wait_for(task, 5)
