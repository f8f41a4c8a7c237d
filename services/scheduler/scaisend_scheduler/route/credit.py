"""Credit: a tenant that has more on a path than the path can do has none there, and its further jobs wait in `later`. Pure.

Deliverers say on `control` whose lines are how long (Backlog). Without this a tenant's backlog would stand in the shard's queue, first
come first served, before everybody else's mail.
"""

from __future__ import annotations

from dataclasses import dataclass

from scaisend_common.mail.drain import SOONEST_BACK, Drain
from scaisend_common.messages import Backlog

HOLDS = 3.0  # seconds for which what a deliverer said holds: it says so each second


@dataclass(slots=True)
class _Line:
    drain: Drain
    until: float


class Credit:
    """Instants in unix seconds."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str, str], _Line] = {}

    def hear(self, backlog: Backlog, now: float) -> None:
        """Note what a deliverer says of a path."""
        self._lines = {key: line for key, line in self._lines.items() if line.until > now}
        for tenant_id, seconds in backlog.lines.items():
            key = tenant_id, backlog.source, backlog.site
            line = self._lines.get(key)
            busy_until = now + SOONEST_BACK + seconds
            drain = Drain(backlog.rate / len(backlog.lines), max(busy_until, line.drain.busy_until if line else 0.0))
            self._lines[key] = _Line(drain, now + HOLDS)

    def due_at(self, tenant_id: str, source: str, site: str, now: float, jitter: float) -> float | None:
        """Return until when a job for a path is to wait, or None where the tenant has credit; `jitter` in [0, 1)."""
        line = self._lines.get((tenant_id, source, site)) if self._lines else None
        if line is None or line.until <= now:
            return None
        seconds, line.drain = line.drain.send_away(now, jitter)
        return now + seconds
