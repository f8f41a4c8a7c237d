"""Fixtures of this room: an api process that the tests of a worker share, one of a test's own, a tenant and its key, the queues behind."""

from __future__ import annotations

import fcntl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import aio_pika
import pytest
from tests.api.world import World, world
from tests.conftest import TEMPLATE, Shared

from devstack import databases, servers
from scaisend_common.messages import Stream, Submission, SubmissionBatch, decode_submissions
from scaisend_common.topology import Topology

Take = Callable[[], Awaitable[list[Submission]]]


@pytest.fixture(scope="session")
def api(shared: Shared, amqp_url: str, worker_number: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A running api with a database of its own. Tests use tenants and domains of their own."""
    name = f"a{uuid4().hex[:12]}"
    with (shared.place / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        databases.create(shared.urls.postgres_dsn, name, template=TEMPLATE)
    with world(
        amqp_url=amqp_url,
        redis_url=f"{shared.urls.redis_url.rpartition('/')[0]}/{worker_number}",
        postgres_dsn=databases.at(shared.urls.postgres_dsn, name),
        api_dsn=databases.at(shared.urls.postgres_dsn, name, "scaisend_api"),
        free_port=servers.free_port,
        place=tmp_path_factory.mktemp("api"),
    ) as made:
        made.start()
        yield made
    databases.drop(shared.urls.postgres_dsn, name)


@pytest.fixture
def own_api(
    amqp_url: str, redis_url: str, postgres_dsn: str, service_dsn: Callable[[str], str], free_port: Callable[[], int], tmp_path: Path
) -> Iterator[World]:
    """An api that this test starts, and may do anything to."""
    with world(
        amqp_url=amqp_url, redis_url=redis_url, postgres_dsn=postgres_dsn, api_dsn=service_dsn("api"), free_port=free_port, place=tmp_path
    ) as made:
        yield made


@pytest.fixture
async def key(api: World) -> str:
    """A key of full access, of the tenant that sends from sender.test."""
    return await api.key(await api.shop())


@pytest.fixture
async def take_batches(amqp_url: str) -> AsyncIterator[Callable[[], Awaitable[list[SubmissionBatch]]]]:
    """Take what was published to `mail.submit` since the test began or last took, message by message."""
    names = [name for stream in Stream for name in Topology().submit_queues(stream)]
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        queues = [await channel.get_queue(name) for name in names]
        for queue in queues:
            await queue.purge()

        async def take_all() -> list[SubmissionBatch]:
            taken = []
            for queue in queues:
                while (message := await queue.get(fail=False)) is not None:
                    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
                    taken.append(decode_submissions(message.body))
                    await message.ack()
            return taken

        yield take_all


@pytest.fixture
def take(take_batches: Callable[[], Awaitable[list[SubmissionBatch]]]) -> Take:
    """Take the submissions that were published since the test began or last took."""

    async def take_all() -> list[Submission]:
        return [submission for batch in await take_batches() for submission in batch.submissions]

    return take_all
