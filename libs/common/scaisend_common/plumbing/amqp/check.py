"""Asking whether queues stand, for services that wait at their start until `declare` has run."""

from __future__ import annotations

from collections.abc import Iterable

from scaisend_common.plumbing.amqp import methods
from scaisend_common.plumbing.amqp.channel import ChannelClosed
from scaisend_common.plumbing.amqp.connection import Connection, connect
from scaisend_common.plumbing.amqp.url import parse_url


async def check_declared(url: str, queues: Iterable[str], *, name: str = "check") -> list[str]:
    """Return which of the queues do not exist. Raises Unavailable when the broker does not answer."""
    connection = await connect(parse_url(url), name=name)
    try:
        return [queue for queue in queues if not await _stands(connection, queue)]
    finally:
        await connection.close()


async def _stands(connection: Connection, queue: str) -> bool:
    """A channel for each question, since a no closes it."""
    channel = await connection.channel()
    try:
        await channel.call(methods.queue_passive(queue), methods.QUEUE_DECLARE_OK)
    except ChannelClosed as error:
        if error.code == methods.NOT_FOUND:
            return False
        raise
    await channel.close()
    return True
