"""The backlog of one path: how many jobs it may keep ready, whose are sent away and for how long. Pure; instants in seconds."""

from __future__ import annotations

from dataclasses import replace

from scaisend_common.mail.drain import Drain

FIRST_RATE = 1000.0  # jobs a second that a path is taken for until it has shown what it does, within two or three seconds
SMOOTHING = 0.8  # of the last second in the rate
FADING = 0.97  # of the best second in each that follows: half a minute of silence halves what is expected of a path
READY_SECONDS = 20.0  # of work that a path keeps ready: more would fill the prefetch that its neighbours in the shard share with it
LEAST_READY = 20
MOST_TOLD = 100  # tenants that routers are told of


class Backlog:
    """Drains by tenant, which work off together what the path did at its `best`: a site that stalls for seconds is not slow for long.

    `rate` is what it does now.
    """

    def __init__(self) -> None:
        self.rate = FIRST_RATE
        self.best = 0.0
        self._drains: dict[str, Drain] = {}

    @property
    def room(self) -> int:
        """How many jobs the path may keep ready."""
        return max(LEAST_READY, int(self.rate * READY_SECONDS))

    def after_second(self, ended: int, *, is_busy: bool) -> None:
        """Note how many jobs ended in a second. One in which the path had nothing left to do does not tell what it can."""
        if is_busy or ended > self.rate:
            self.rate += SMOOTHING * (ended - self.rate)
            self.best = max(float(ended), self.best * FADING)

    def send_away(self, tenant_id: str, now: float, jitter: float) -> float:
        """Return for how many seconds one more job of a tenant is sent away; `jitter` in [0, 1)."""
        drain = self._drains.get(tenant_id) or Drain(0.0)
        share = (self.best or self.rate) / max(1, len(self._drains))
        seconds, self._drains[tenant_id] = replace(drain, rate=share).send_away(now, jitter)
        return seconds

    def lines(self, now: float) -> dict[str, float]:
        """Return for how many seconds the line of each tenant that has one will keep the path busy, longest first; forget the others."""
        ahead = {tenant_id: drain.seconds_ahead(now) for tenant_id, drain in self._drains.items()}
        self._drains = {tenant_id: self._drains[tenant_id] for tenant_id, seconds in ahead.items() if seconds}
        longest = sorted(self._drains, key=lambda tenant_id: -ahead[tenant_id])
        return {tenant_id: ahead[tenant_id] for tenant_id in longest[:MOST_TOLD]}

    def __len__(self) -> int:
        return len(self._drains)
