"""When jobs that a path has no room for come back: in their turn, at the rate at which it works them off. Pure; instants in seconds.

Were they all sent away for the same while, a hundred thousand jobs of a slow path would come back together again and again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

SOONEST_BACK = 30.0  # seconds: a round through the waiting room is to be worth its cost
LONGEST_AWAY = 1800.0  # seconds, so that a path which recovers is not left without its jobs


@dataclass(frozen=True, slots=True)
class Drain:
    """The jobs of one tenant on one path: `rate` are worked off a second, and those sent away so far keep it busy until `busy_until`."""

    rate: float
    busy_until: float = 0.0

    def send_away(self, now: float, jitter: float) -> tuple[float, Drain]:
        """Return for how many seconds one more job is sent away; `jitter` in [0, 1).

        Beyond LONGEST_AWAY there is no telling, so they come back spread over its second half.
        """
        back_at = max(self.busy_until, now + SOONEST_BACK) + 1 / max(self.rate, 1 / LONGEST_AWAY)
        if back_at > now + LONGEST_AWAY:
            return LONGEST_AWAY * (0.5 + jitter / 2), self
        return back_at - now, replace(self, busy_until=back_at)

    def seconds_ahead(self, now: float) -> float:
        """Return for how long those sent away will keep the path busy once they are back; 0 where there is no line to stand in."""
        return max(0.0, self.busy_until - now - SOONEST_BACK)
