"""The posts of one endpoint: events are collected for a second or 768 KB, then posted; what is not taken is stored for retry.

An endpoint that fails or holds too much goes straight to the store until one of its stored posts is taken: it holds back nobody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from scaisend_webhook_fanout.endpoint import Endpoint
from scaisend_webhook_fanout.payload import MAX_BODY, body_of
from scaisend_webhook_fanout.poster import NotTaken, PostOutcome, Taken

MAX_HELD = 8 * MAX_BODY  # bytes of events that an endpoint may hold in memory


@dataclass(slots=True)
class _Batch:
    """Events of one post, and the promise to those who wait for it."""

    settled: asyncio.Future[None]
    events: list[bytes] = field(default_factory=list)
    size: int = 0


class Outbox:
    """Collects and posts the events of one endpoint.

    `post` tries the endpoint once; `keep` stores a body for retry and returns when it is committed. An event's `add` returns once it
    was taken or stored.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        post: Callable[[Endpoint, bytes], Awaitable[PostOutcome]],
        keep: Callable[[Endpoint, bytes, str], Awaitable[None]],
        window: float,
    ) -> None:
        self.endpoint = endpoint
        self._post = post
        self._keep = keep
        self._window = window
        self._open: _Batch | None = None
        self._held = 0
        self._closing: set[asyncio.Task[None]] = set()
        self._trouble = ""  # why posts go straight to the store; empty while all is well

    def __repr__(self) -> str:
        return f"<Outbox {self.endpoint.endpoint_id} held={self._held} trouble={self._trouble!r}>"

    async def add(self, events: list[bytes]) -> None:
        """Return when every one of these events was taken or stored; raises what storing raises."""
        batches: dict[int, _Batch] = {}
        for event in events:
            batch = self._put(event)
            batches[id(batch)] = batch
        for batch in batches.values():
            await asyncio.shield(batch.settled)

    def recovered(self) -> None:
        """A stored post was taken: try directly again."""
        self._trouble = ""

    @property
    def is_idle(self) -> bool:
        """Nothing is held or under way."""
        return self._open is None and not self._closing

    def _put(self, event: bytes) -> _Batch:
        if self._open is None:
            self._open = _Batch(asyncio.get_running_loop().create_future())
            asyncio.get_running_loop().call_later(self._window, self._close, self._open)
        batch = self._open
        batch.events.append(event)
        batch.size += len(event) + 3
        self._held += len(event) + 3
        if batch.size >= MAX_BODY:
            self._close(batch)
        return batch

    def _close(self, batch: _Batch) -> None:
        if self._open is not batch:
            return
        self._open = None
        task = asyncio.create_task(self._settle(batch))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _settle(self, batch: _Batch) -> None:
        body = body_of(batch.events)
        try:
            if self._held > MAX_HELD and not self._trouble:
                self._trouble = "too many events at once"
            outcome = NotTaken(self._trouble) if self._trouble else await self._post(self.endpoint, body)
            match outcome:
                case Taken():
                    pass
                case NotTaken(why):
                    self._trouble = why
                    await self._keep(self.endpoint, body, why)
        except BaseException as error:
            batch.settled.set_exception(error)
            batch.settled.exception()  # whoever still waits sees it; nobody waiting is no fault
            if not isinstance(error, Exception):
                raise
        else:
            batch.settled.set_result(None)
        finally:
            self._held -= batch.size
