"""Hosts as this process found them: which are left alone for now, which do better without TLS, which take one thing at a time."""

from __future__ import annotations

from collections.abc import Sequence

from scaisend_deliverer.target import Target
from scaisend_deliverer.throttle import Pause

CLEAR_SECONDS = 3600.0  # for which a host whose TLS failed is not asked for it
APART_SECONDS = 3600.0  # for which a host that drops commands behind a mail gets none there
MOST_KEPT = 50_000


class Hosts:
    """By address; instants are monotonic seconds."""

    def __init__(self) -> None:
        self._pauses: dict[str, Pause] = {}
        self._clear_until: dict[str, float] = {}
        self._apart_until: dict[str, float] = {}

    def usable(self, targets: Sequence[Target], now: float) -> list[Target]:
        """Return the targets that may be tried now."""
        if not self._pauses:
            return list(targets)
        return [target for target in targets if target.address not in self._pauses or self._pauses[target.address].is_over(now)]

    def next_try(self, targets: Sequence[Target]) -> float:
        """Return when the first of these targets may be tried."""
        return min(self._pauses[target.address].until if target.address in self._pauses else 0.0 for target in targets)

    def failed(self, target: Target, now: float, jitter: float) -> None:
        """No session could be had: leave it alone for a while."""
        if len(self._pauses) >= MOST_KEPT:
            self._pauses = {address: pause for address, pause in self._pauses.items() if not pause.is_over(now)}
        self._pauses[target.address] = self._pauses.get(target.address, Pause()).after_failure(now, jitter)

    def worked(self, target: Target) -> None:
        """A session was had."""
        self._pauses.pop(target.address, None)

    def tls_failed(self, target: Target, now: float) -> None:
        """Its TLS cannot be used; mail goes in clear for a while, as it would without any STARTTLS (RFC 7435)."""
        if len(self._clear_until) >= MOST_KEPT:
            self._clear_until.clear()
        self._clear_until[target.address] = now + CLEAR_SECONDS

    def ignored(self, target: Target, now: float) -> None:
        """It offers PIPELINING and did not take the commands that followed a mail at once."""
        if len(self._apart_until) >= MOST_KEPT:
            self._apart_until.clear()
        self._apart_until[target.address] = now + APART_SECONDS

    def keeps_mails_apart(self, target: Target, now: float) -> bool:
        """Nothing is to follow a mail before its answer."""
        return bool(self._apart_until) and self._apart_until.get(target.address, 0.0) > now

    def wants_clear(self, target: Target, now: float) -> bool:
        """TLS failed lately."""
        return self._clear_until.get(target.address, 0.0) > now

    def __repr__(self) -> str:
        return f"<Hosts: {len(self._pauses)} left alone, {len(self._clear_until)} without TLS>"
