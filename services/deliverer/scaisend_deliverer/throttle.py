"""How fast a path may go and how long a host is left alone. Pure.

A path begins with one connection; each mail that is taken doubles what it may have, up to its limit. A host that cannot be reached or
refuses the session is left alone, longer each time, and then tried with one mail (RFC 5321 4.5.4.1: no mail after mail to a dead host).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from scaisend_common.mail.verdict import Unknown, Verdict

FIRST_PAUSE = 15.0  # seconds
LONGEST_PAUSE = 900.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How many connections a path may have: `allowed` of at most `limit`."""

    limit: int
    allowed: int = 1

    def after(self, verdict: Verdict) -> Pace:
        """Return the pace after a transaction: a server that asks for less gets it, any other that talks may have more."""
        reply = None if isinstance(verdict, Unknown) else verdict.reply
        if reply is None:
            return self
        return self.slower() if reply.code == 421 else self.faster()

    def faster(self) -> Pace:
        """Return the pace after a mail was taken."""
        return self if self.allowed >= self.limit else replace(self, allowed=min(self.limit, self.allowed * 2))

    def slower(self) -> Pace:
        """Return the pace after the server asked for less (421)."""
        return replace(self, allowed=max(1, self.allowed // 2))

    def stopped(self) -> Pace:
        """Return the pace after no session could be had."""
        return replace(self, allowed=1)


@dataclass(frozen=True, slots=True)
class Pause:
    """A host is left alone until `until` (monotonic seconds) after `failures` in a row."""

    failures: int = 0
    until: float = 0.0

    def after_failure(self, now: float, jitter: float) -> Pause:
        """Return the pause after one more failure; `jitter` in [0, 1). Failures during a pause do not make it longer."""
        if now < self.until:
            return self
        seconds = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self.failures, 20))
        return Pause(self.failures + 1, now + seconds * (0.75 + jitter / 2))

    def is_over(self, now: float) -> bool:
        """The host may be tried."""
        return now >= self.until


def usable_connections(limit: int, *, is_takeover: bool, allowed: int) -> int:
    """Return how many connections a path may have now.

    One of the limit is kept for a takeover: whoever takes a shard from an owner that has not released it begins with one
    connection beside all that the other may still have, so that both together stay within the limit. A limit of one leaves none for it.
    """
    if is_takeover:
        return 1 if limit > 1 else 0
    return min(allowed, max(1, limit - 1))
