"""A broker of the test's own in alarm, killed and restarted, under load."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from tests.common.plumbing.amqp.conftest import eventually, running

from devstack import packages, process, servers
from scaisend_common.plumbing.amqp import Ack, Consumer, Incoming, Publisher, Settlement, Unavailable
from scaisend_common.plumbing.amqp.declare import declare
from scaisend_common.topology import EXCHANGES, LATER, LATER_QUEUE, Topology

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

QUEUES = [queue for queue in Topology().queues() if queue.name.startswith(LATER_QUEUE)]


class OwnBroker:
    """RabbitMQ in a place of its own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.url = self.start()

    def start(self) -> str:
        return servers.start(self.place, durable=True, report=lambda _: None, only=("rabbitmq",)).amqp_url

    def kill(self) -> None:
        process.stop(self.place, "rabbitmq", with_signal=signal.SIGKILL)

    def stop(self) -> None:
        process.stop(self.place, "rabbitmq")

    def ctl(self, *words: str) -> None:
        pattern = "usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmqctl"
        found = next(Path("/").glob(pattern), None) or next(packages.rabbitmq_tree(lambda _: None).glob(pattern))
        subprocess.run([found, *words], env=servers.rabbitmq_env(self.place), check=True, capture_output=True)


@pytest.fixture(scope="module")
def own_broker() -> Iterator[OwnBroker]:
    place = Path(f"/var/tmp/scaisend-amqp-{uuid4().hex[:8]}")
    place.mkdir(mode=0o755)
    try:
        yield OwnBroker(place)
    finally:
        servers.stop_all(place)
        shutil.rmtree(place, ignore_errors=True)


class Desk:
    def __init__(self) -> None:
        self.heard: list[int] = []

    async def handle(self, incoming: Incoming[bytes]) -> Settlement:
        self.heard.append(int(incoming.value))
        return Ack()

    def consumer(self, url: str) -> Consumer[bytes]:
        return Consumer(url, [LATER_QUEUE], bytes, self.handle, name="t", prefetch=50)


async def test_in_a_memory_alarm_publishing_fails_at_once_and_consuming_goes_on(own_broker: OwnBroker) -> None:
    await declare(own_broker.url, EXCHANGES, QUEUES)
    desk = Desk()
    async with Publisher(own_broker.url, name="p", timeout=timedelta(seconds=2)) as publisher:
        await asyncio.gather(*(publisher.publish_nowait(LATER, LATER_QUEUE, b"%d" % n) for n in range(500)))
        await asyncio.to_thread(own_broker.ctl, "set_vm_memory_high_watermark", "0.00001")
        try:
            in_doubt = publisher.publish_nowait(LATER, LATER_QUEUE, b"500")  # the broker says that it blocks when it is published to
            await eventually(lambda: not publisher.is_ready)
            with pytest.raises(Unavailable, match="blocks publishing"):
                await publisher.publish(LATER, LATER_QUEUE, b"501")
            async with running(desk.consumer(own_broker.url)):
                await eventually(lambda: len(desk.heard) >= 500)
            with pytest.raises(Unavailable):
                await in_doubt
        finally:
            await asyncio.to_thread(own_broker.ctl, "set_vm_memory_high_watermark", "0.4")
        await eventually(lambda: publisher.is_ready)
        await publisher.publish(LATER, LATER_QUEUE, b"502")
        async with running(desk.consumer(own_broker.url)):
            await eventually(lambda: 502 in desk.heard)
    assert sorted(desk.heard) == [*range(501), 502], "what was in doubt landed, what was refused at once did not, and acks went through"


@pytest.mark.parametrize("how", ["killed", "stopped"])
async def test_what_was_confirmed_survives_the_broker_and_everybody_comes_back(own_broker: OwnBroker, how: str) -> None:
    await declare(own_broker.url, EXCHANGES, QUEUES)
    confirmed: list[int] = []
    desk = Desk()
    consumer = desk.consumer(own_broker.url)
    async with Publisher(own_broker.url, name="p") as publisher, running(consumer):
        load = asyncio.create_task(_publish_all(publisher, 20_000, confirmed))
        await eventually(lambda: len(confirmed) > 2000, 30)
        await asyncio.to_thread(own_broker.kill if how == "killed" else own_broker.stop)
        await eventually(lambda: not publisher.is_ready and not consumer.is_ready)
        await asyncio.to_thread(own_broker.start)
        await eventually(lambda: publisher.is_ready and consumer.is_ready, 60)
        await load
        assert len(confirmed) == 20_000
        await eventually(lambda: len(set(desk.heard)) == 20_000, 60)


async def _publish_all(publisher: Publisher, count: int, confirmed: list[int]) -> None:
    """Publish each number until it is confirmed, 100 at once."""
    places = asyncio.Semaphore(100)

    async def one(n: int) -> None:
        async with places:
            while True:
                try:
                    await publisher.publish(LATER, LATER_QUEUE, b"%d" % n)
                except Unavailable:
                    await asyncio.sleep(0.1)
                else:
                    confirmed.append(n)
                    return

    await asyncio.gather(*(one(n) for n in range(count)))
