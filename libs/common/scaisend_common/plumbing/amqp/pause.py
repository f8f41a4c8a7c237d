"""A consumer's pauses: asked for by a handler, or ever longer while what it needs is out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from scaisend_common.plumbing.amqp.link import delay_after

FIRST, LONGEST = 1.0, 30.0  # seconds of pause in an outage


class Pause:
    """`resume` is called when a pause is over."""

    def __init__(self, resume: Callable[[], None]) -> None:
        self._resume = resume
        self._timer: asyncio.TimerHandle | None = None
        self._outages = 0

    @property
    def is_on(self) -> bool:
        """Nothing is to be started."""
        return self._timer is not None

    def begin(self, seconds: float) -> None:
        """Pause, or pause longer; a shorter pause than the one that is on changes nothing."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() >= until:
                return
            self._timer.cancel()
        self._timer = loop.call_at(until, self._over)

    def outage(self) -> float | None:
        """Pause because something needed is out: 1 s, doubling to 30 until `worked`. Returns the seconds, None when paused already."""
        if self.is_on:
            return None
        seconds = delay_after(self._outages, 0, first=FIRST, longest=LONGEST)
        self._outages += 1
        self.begin(seconds)
        return seconds

    def worked(self) -> None:
        """What a handler needs is there."""
        if not self.is_on:
            self._outages = 0

    def cancel(self) -> None:
        """No more pauses: the consumer is stopping."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _over(self) -> None:
        self._timer = None
        self._resume()
