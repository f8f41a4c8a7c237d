"""Fixtures of this room: an api process of the test's own, a tenant, a key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aio_pika
import pytest
from tests.api.world import World, world

from scaisend_common.messages import Stream, Submission, decode_submission
from scaisend_common.topology import Topology


@pytest.fixture
def api(
    amqp_url: str, redis_url: str, postgres_dsn: str, service_dsn: Callable[[str], str], free_port: Callable[[], int], tmp_path: Path
) -> Iterator[World]:
    """A running api."""
    with world(
        amqp_url=amqp_url, redis_url=redis_url, postgres_dsn=postgres_dsn, api_dsn=service_dsn("api"), free_port=free_port, place=tmp_path
    ) as made:
        yield made


@pytest.fixture
async def key(api: World) -> str:
    """A key of full access, of a tenant with one verified domain."""
    return await api.key(await api.tenant("shop"))


@pytest.fixture
async def submissions(amqp_url: str) -> AsyncIterator[Callable[[], AsyncIterator[list[Submission]]]]:
    """Take what was published to `mail.submit` since the last look."""
    names = [name for stream in Stream for name in Topology().submit_queues(stream)]
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        queues = [await channel.get_queue(name) for name in names]
        for queue in queues:
            await queue.purge()

        async def take() -> list[Submission]:
            taken = []
            for queue in queues:
                while (message := await queue.get(fail=False)) is not None:
                    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
                    taken.append(decode_submission(message.body))
                    await message.ack()
            return taken

        yield take  # type: ignore[misc]
