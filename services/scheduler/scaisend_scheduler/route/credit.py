"""Credit: a tenant that has more on a path than the path can do has none there, and its further jobs wait in `later`. Pure.

Deliverers say on `control` whose lines are how long (Lines). Without this a tenant's backlog would stand in the shard's queue, first
come first served, before everybody else's mail.
"""

from __future__ import annotations

from dataclasses import dataclass

from scaisend_common.mail.drain import SOONEST_BACK, Drain
from scaisend_common.messages import Job, Lines, Stream

HOLDS = 3.0  # seconds for which what a deliverer said holds: it says so each second


@dataclass(slots=True)
class _Known:
    drain: Drain
    until: float


class Credit:
    """Instants in unix seconds."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Stream, str, str], _Known] = {}

    def hear(self, lines: Lines, now: float) -> None:
        """Note what a deliverer says of a path."""
        self._known = {key: known for key, known in self._known.items() if known.until > now}
        for line in lines.lines:
            key = line.tenant_id, line.stream, lines.source, lines.site
            known = self._known.get(key)
            busy_until = max(now + SOONEST_BACK + line.seconds, known.drain.busy_until if known else 0.0)
            self._known[key] = _Known(Drain(line.rate, busy_until), now + HOLDS)

    def due_at(self, job: Job, now: float, jitter: float) -> float | None:
        """Return until when a job is to wait, or None where its tenant has credit on its path; `jitter` in [0, 1)."""
        known = self._known.get((job.tenant_id, job.stream, job.source, job.site)) if self._known else None
        if known is None or known.until <= now:
            return None
        seconds, known.drain = known.drain.send_away(now, jitter)
        return now + seconds
