"""Fixtures of this room."""

from __future__ import annotations

import aio_pika
import pytest

from scaisend_common.topology import Topology


@pytest.fixture
async def broker_url(amqp_url: str) -> str:
    """The worker's vhost, its queues empty."""
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        for queue in Topology().queues():
            await (await channel.get_queue(queue.name, ensure=False)).purge()
    return amqp_url
