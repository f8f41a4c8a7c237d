"""Publishes that wait for their confirm: by delivery tag, oldest first, each bounded in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from prometheus_client import Counter

from scaisend_common.plumbing.amqp.settlement import Refused, Unavailable

_failures = Counter("scaisend_publish_failures_total", "Messages handed to the broker that it did not confirm", ["exchange", "why"])


class InFlight:
    """Delivery tags count from 1 on every channel. A confirm for a tag that is no longer waited for is ignored."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._waiting: dict[int, tuple[asyncio.Future[None], float, str]] = {}  # in order of tags, and so of deadlines
        self._last_tag = 0
        self._sweep: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def restart(self) -> None:
        """A new channel counts from 1 again."""
        assert not self._waiting, "what waits on the old channel fails before the new one begins"
        self._last_tag = 0

    def next_tag(self) -> int:
        """The tag that the next publish will have."""
        return self._last_tag + 1

    def add(self, tag: int, exchange: str) -> asyncio.Future[None]:
        """Wait for the confirm of `tag`, which was just written."""
        self._last_tag = tag
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        deadline = loop.time() + self._timeout
        self._waiting[tag] = future, deadline, exchange
        if self._sweep is None:
            self._sweep = loop.call_at(deadline, self._expire)
        return future

    def confirm(self, tag: int, multiple: bool, taken: bool) -> None:
        """The broker took `tag`, or with `multiple` all up to it, or refused them."""
        waiting = self._waiting
        if not multiple:
            if (entry := waiting.pop(tag, None)) is not None:
                _settle(entry[0], entry[2], taken)
            return
        tags = []
        for each in waiting:
            if each > tag:
                break
            tags.append(each)
        for each in tags:
            future, _, exchange = waiting.pop(each)
            _settle(future, exchange, taken)

    def fail(self, tag: int, why: Exception) -> None:
        """Fail one."""
        entry = self._waiting.pop(tag, None)
        if entry is not None:
            _fail(entry[0], entry[2], why)

    def fail_all(self, why: Callable[[str], Exception]) -> None:
        """Fail all that wait; `why` is asked with each one's exchange."""
        waiting, self._waiting = self._waiting, {}
        for future, _, exchange in waiting.values():
            _fail(future, exchange, why(exchange))
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    async def settled(self) -> None:
        """Return when nobody waits any more, which the time-out bounds."""
        while pending := [entry[0] for entry in self._waiting.values() if not entry[0].done()]:
            await asyncio.wait(pending)

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._sweep = None
        for tag, (_, deadline, _) in list(self._waiting.items()):
            if deadline > now:
                self._sweep = loop.call_at(deadline, self._expire)
                return
            self.fail(tag, Unavailable(f"no confirm within {self._timeout:g} s"))


def _settle(future: asyncio.Future[None], exchange: str, taken: bool) -> None:
    if not taken:
        _fail(future, exchange, Refused("the broker refused the message: a bound of its queue is reached"))
    elif not future.done():  # else its caller stopped waiting
        future.set_result(None)


def _fail(future: asyncio.Future[None], exchange: str, why: Exception) -> None:
    _failures.labels(exchange, type(why).__name__).inc()
    if not future.done():
        future.set_exception(why)
