"""Redis (or Valkey) with short time-outs. Whatever says "the server did not do it, and may later" is RedisAway."""

from __future__ import annotations

from typing import Any

from hiredis import pack_command
from redis import asyncio as library
from redis import exceptions
from redis.asyncio.client import Pipeline as LibraryPipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from scaisend_common.plumbing.multiplexed import Multiplexed

CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 2.0

OUTAGES = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,  # a replica that was just the primary
    exceptions.OutOfMemoryError,  # noeviction, and full
    exceptions.TryAgainError,
    OSError,
)


class RedisAway(Exception):
    """Redis did not do it; or did, and the answer was lost. May work later."""


class _Connection(library.Connection):
    """Commands are packed in C: in Python a call with hundreds of keys takes as long as all the rest of it."""

    def pack_command(self, *args: Any) -> list[bytes]:
        name, *arguments = args
        return [pack_command((*name.split(), *arguments))]  # `SCRIPT LOAD` is two words to the server


class Pipeline(LibraryPipeline):
    """Commands that travel together; `execute` raises RedisAway."""

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Send what was collected; return the answers in order."""
        try:
            return await super().execute(raise_on_error)
        except OUTAGES as error:
            raise RedisAway(str(error)) from error


class Redis(library.Redis):
    """The client; a command that gets no answer raises RedisAway. Answers are bytes."""

    _multiplexed: Multiplexed | None = None

    async def call(self, *command: str | bytes | int) -> object:
        """Send one command, as `execute_command` does at more than twice the cost, over a connection that all such calls share."""
        multiplexed = self._multiplexed = self._multiplexed or Multiplexed(
            self.connection_pool, self.connection_pool.connection_kwargs["socket_timeout"]
        )
        try:
            return await multiplexed.call(*command)
        except OUTAGES as error:
            raise RedisAway(str(error)) from error

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """Close all connections."""
        if self._multiplexed is not None:
            await self._multiplexed.close()
        await super().aclose(close_connection_pool)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send one command and return its answer."""
        try:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except OUTAGES as error:
            raise RedisAway(str(error)) from error

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """Collect commands; a transaction (MULTI) unless told otherwise."""
        return Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


def connect(url: str, *, name: str = "scaisend", connections: int = 64, answer_seconds: float = ANSWER_SECONDS) -> Redis:
    """Return a client (an async context manager); nothing is opened yet. No command is ever repeated by the client itself."""
    pool = library.BlockingConnectionPool.from_url(
        url,
        connection_class=_Connection,
        timeout=answer_seconds,
        max_connections=connections,
        client_name=name,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=answer_seconds,
        retry=Retry(NoBackoff(), 0),
    )
    client = Redis(connection_pool=pool)
    client.auto_close_connection_pool = True
    return client
