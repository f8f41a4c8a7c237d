"""The backlog of one path: how many jobs it may keep ready, whose are sent away and for how long. Pure; instants in seconds."""

from __future__ import annotations

from dataclasses import replace

from scaisend_common.mail.drain import Drain
from scaisend_common.messages import Line, Stream

FIRST_RATE = 1000.0  # jobs a second that a path is taken for until it has shown what it does, within two or three seconds
SMOOTHING = 0.8  # of the last second in the rate
UNKNOWN_RATE = 10.0  # of a path that has not ended an attempt yet: a few jobs come back soon, masses later
FADING = 0.97  # of the best second in each that follows: half a minute of silence more than halves what is expected of a path
READY_SECONDS = 20.0  # of work that a path keeps ready: more would fill the prefetch that its neighbours in the shard share with it
LEAST_READY = 20
MOST_TOLD = 100  # lines that routers are told of
WORTH_TELLING = 20.0  # seconds of work; a shorter line is gone before routers would have been of use


class Backlog:
    """Drains by stream and tenant, which together work off what the path did at its `best`: who stalls for seconds is not slow for long.

    `rate` is what it does now, while it is busy: while all connections that it may have are in use and more jobs are ready.
    """

    def __init__(self) -> None:
        self.rate = FIRST_RATE
        self.best = 0.0
        self._drains: dict[tuple[Stream, str], Drain] = {}

    @property
    def room(self) -> int:
        """How many jobs the path may keep ready."""
        return max(LEAST_READY, int(self.rate * READY_SECONDS))

    def after_second(self, ended: int, *, is_busy: bool) -> None:
        """Note how many attempts at a server ended in a second. One in which the path could have done more does not tell what it can."""
        if is_busy or ended > self.rate:
            self.rate += SMOOTHING * (ended - self.rate)
        if is_busy or ended:
            self.best = max(float(ended), self.best * FADING)

    def send_away(self, stream: Stream, tenant_id: str, now: float, jitter: float) -> float:
        """Return for how many seconds one more job is sent away; `jitter` in [0, 1)."""
        key = stream, tenant_id
        drain = self._drains.setdefault(key, Drain(0.0))
        share = (self.best or UNKNOWN_RATE) / len(self._drains)
        seconds, self._drains[key] = replace(drain, rate=share).send_away(now, jitter)
        return seconds

    def lines(self, now: float) -> tuple[Line, ...]:
        """Return the lines that routers should know, longest first; forget those that are worked off."""
        ahead = {key: drain.seconds_ahead(now) for key, drain in self._drains.items()}
        self._drains = {key: self._drains[key] for key, seconds in ahead.items() if seconds}
        longest = sorted((key for key in self._drains if ahead[key] > WORTH_TELLING), key=lambda key: -ahead[key])
        return tuple(
            Line(tenant_id, stream, self._drains[stream, tenant_id].rate, ahead[stream, tenant_id])
            for stream, tenant_id in longest[:MOST_TOLD]
        )

    def __len__(self) -> int:
        return len(self._drains)
