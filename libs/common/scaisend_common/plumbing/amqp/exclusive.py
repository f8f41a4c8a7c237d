"""Ownership by exclusive queue: who could declare it owns what it stands for, until release or until the connection ends.

The broker gives an exclusive queue to one connection, and gives it up only when that connection is closed or has been silent for
two heartbeats. So an owner that heard the broker within one heartbeat interval (`is_fresh`) is the only one; one that did not
must start nothing, as another may be owner by now.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from scaisend_common.plumbing.amqp import methods
from scaisend_common.plumbing.amqp.channel import Channel, ChannelClosed
from scaisend_common.plumbing.amqp.connection import Connection
from scaisend_common.plumbing.amqp.link import keep_connected
from scaisend_common.plumbing.amqp.settlement import Unavailable
from scaisend_common.plumbing.amqp.url import parse_url

HEARTBEAT = 5  # seconds; the broker sends every half of it

log = structlog.get_logger()


def _nothing() -> None:
    pass


class ExclusiveQueues:
    """Exclusive queues on one connection, which they end with. `lost` is called when the connection ends and something was held.

    An async context manager; entering does not wait for the connection.
    """

    def __init__(self, url: str, name: str, *, heartbeat: int = HEARTBEAT, lost: Callable[[], None] = _nothing) -> None:
        self._broker = parse_url(url)
        self._name = name
        self._heartbeat = heartbeat
        self._on_lost = lost
        self._held: dict[str, Channel] = {}
        self._acquiring = asyncio.Lock()
        self._connection: Connection | None = None
        self._link: asyncio.Task[None] | None = None

    async def __aenter__(self) -> ExclusiveQueues:
        self._link = asyncio.create_task(keep_connected(self._broker, self._work, name=self._name, heartbeat=self._heartbeat))
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._link is not None, "not entered"
        await asyncio.gather(*(self.release(queue) for queue in self.held()))
        self._link.cancel()
        await asyncio.gather(self._link, return_exceptions=True)

    @property
    def is_ready(self) -> bool:
        """A connection stands."""
        return self._connection is not None and self._connection.is_open

    @property
    def is_fresh(self) -> bool:
        """The broker was heard within one heartbeat interval, so what is held is surely held."""
        connection = self._connection
        return connection is not None and connection.is_open and time.monotonic() - connection.last_heard < connection.heartbeat

    @property
    def last_heard(self) -> float:
        """Monotonic time at which the broker was last heard on this connection; minus infinity without one."""
        return self._connection.last_heard if self._connection is not None else float("-inf")

    def held(self) -> frozenset[str]:
        """The queues that are ours as far as we know; `is_fresh` says whether that is enough to act on."""
        return frozenset(self._held)

    async def acquire(self, queue: str) -> bool:
        """Declare the queue as ours; False when it is somebody else's, or without a connection. Holding it already is True."""
        async with self._acquiring:
            return queue in self._held or await self._acquire(queue)

    async def _acquire(self, queue: str) -> bool:
        connection = self._connection
        if connection is None:
            return False
        try:
            channel = await connection.channel()
            await channel.call(methods.queue_declare(queue, exclusive=True, auto_delete=False), methods.QUEUE_DECLARE_OK)
        except ChannelClosed as error:
            if error.code == methods.RESOURCE_LOCKED:
                return False
            raise
        except Unavailable:
            return False
        if connection is not self._connection or not connection.is_open:
            return False
        self._held[queue] = channel
        return True

    async def release(self, queue: str) -> None:
        """Delete the queue, so that somebody else may own it; returns when it is gone."""
        channel = self._held.pop(queue, None)
        if channel is None:
            return
        try:
            await channel.call(methods.queue_delete(queue), methods.QUEUE_DELETE_OK)
        except (ChannelClosed, Unavailable):
            return  # gone with its connection
        await channel.close()

    async def _work(self, connection: Connection) -> None:
        self._connection = connection
        connection.ended.add_done_callback(self._on_end)
        await asyncio.shield(connection.ended)

    def _on_end(self, ended: asyncio.Future[str]) -> None:
        held, self._held = self._held, {}
        self._connection = None
        if held:
            log.warning("ownership_lost", connection=self._name, queues=sorted(held), why=ended.result())
            self._on_lost()

    def __repr__(self) -> str:
        return f"<ExclusiveQueues {self._name} {'ready' if self.is_ready else 'not ready'}, holds {len(self._held)}>"
