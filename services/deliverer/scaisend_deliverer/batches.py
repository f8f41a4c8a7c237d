"""Batches: what many ask for at about the same time, done by one call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Batches(Generic[T, R]):
    """`send` gets up to `most` items, gathered for `linger` seconds and until one of `lanes` calls has ended.

    It returns one answer for each, in order; its exception goes to all of the batch. An item may ask for a time of its own: who waits least
    takes the others along.
    """

    def __init__(self, send: Callable[[list[T]], Awaitable[Sequence[R]]], *, most: int, linger: float, lanes: int = 1) -> None:
        self._send = send
        self._most = most
        self._linger = linger
        self._free = lanes
        self._loop: asyncio.AbstractEventLoop | None = None  # asked for once: each time costs a system call
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._due_at = 0.0  # of what waits, by the loop's clock
        self._timer: asyncio.TimerHandle | None = None
        self._calls: set[asyncio.Task[None]] = set()

    def add(self, item: T, *, linger: float | None = None) -> asyncio.Future[R]:
        """Return the future of the item's answer."""
        loop = self._loop = self._loop or asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        due_at = loop.time() + (self._linger if linger is None else linger)
        if not self._waiting or due_at < self._due_at:
            self._due_at = due_at
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        self._waiting.append((item, future))
        self._set_timer(loop)
        return future

    async def drained(self) -> None:
        """Return when nothing waits or is under way."""
        while self._calls or self._waiting:
            if self._calls:
                await asyncio.wait(self._calls)
            else:
                await asyncio.sleep(self._linger)

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._free and self._waiting and self._timer is None:
            self._timer = loop.call_at(self._due_at, self._start)

    def _start(self) -> None:
        self._timer = None
        while self._free and self._waiting:
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            self._free -= 1
            call = asyncio.create_task(self._call(batch))
            self._calls.add(call)
            call.add_done_callback(self._end)

    def _end(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        self._free += 1
        self._set_timer(call.get_loop())

    async def _call(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            answers = await self._send([item for item, _ in batch])
        except BaseException as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error if isinstance(error, Exception) else ConnectionAbortedError("the batch was given up"))
                    future.exception()  # whoever has stopped waiting need not see it
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)
