"""The sites of recipient domains, by their MX hosts.

They are looked up for a bounded time; without an answer the domain itself is the site. So every job reaches a deliverer, which alone
concludes attempts: nothing here can bounce a mail. A wrong site costs a hop: the deliverer looks again before it sends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from scaisend_common.mail.site import site_of
from scaisend_common.plumbing.dns import DnsFailed, MxAnswer, MxHosts, Resolver
from scaisend_common.plumbing.flights import Flights

PATIENCE = 0.3  # seconds that a batch waits for DNS
KEPT = 60.0  # seconds that a site is believed
RENEWED = 15.0  # seconds before that in which who asks has it looked up anew, and does not wait for it
UNKNOWN_KEPT = 5.0  # seconds for which a domain without answer holds up no further batch
MOST_KEPT = 100_000


def site_by_mx(domain: str, answer: MxAnswer) -> str:
    """Return the site that a domain's MX answer names; without hosts it is the domain."""
    return site_of(domain, [host for _, host in answer.hosts]) if isinstance(answer, MxHosts) else domain


class Sites:
    """The sites of domains, kept for a minute."""

    def __init__(self, resolver: Resolver, *, patience: float = PATIENCE, clock: Callable[[], float] = time.monotonic) -> None:
        self._resolver = resolver
        self._patience = patience
        self._clock = clock
        self._kept: dict[str, tuple[str, float, float]] = {}  # site, expiry, and from when on it is looked up anew, by domain
        self._renewals: Flights[str, None] = Flights()

    async def of(self, domains: Iterable[str]) -> dict[str, str]:
        """Return the site of each domain within the patience of this object; what DNS did not say by then is the domain itself."""
        now = self._clock()
        found: dict[str, str] = {}
        asked: dict[str, asyncio.Task[MxAnswer]] = {}
        for domain in set(domains):
            site, expires_at, renewed_from = self._kept.get(domain, ("", 0.0, 0.0))
            if expires_at > now:
                found[domain] = site
                if renewed_from < now:
                    self._renewals.start(domain, self._renew)
            else:
                asked[domain] = asyncio.create_task(self._resolver.mx(domain))
        return found | await self._answers(asked) if asked else found

    async def _answers(self, asked: dict[str, asyncio.Task[MxAnswer]]) -> dict[str, str]:
        """Wait for the answers. The resolver keeps on asking for those that are late, and has them the next time."""
        _, late = await asyncio.wait(asked.values(), timeout=self._patience)
        for task in late:
            task.cancel()
        answers: dict[str, MxAnswer] = {d: DnsFailed("late") if task in late else task.result() for d, task in asked.items()}
        return {domain: self._keep(domain, answer) for domain, answer in answers.items()}

    async def _renew(self, domain: str) -> None:
        answer = await self._resolver.mx(domain)
        if not isinstance(answer, DnsFailed):
            self._keep(domain, answer)
        elif domain in self._kept:  # what is known stays good until it expires
            site, expires_at, _ = self._kept[domain]
            self._kept[domain] = site, expires_at, self._clock() + UNKNOWN_KEPT

    def _keep(self, domain: str, answer: MxAnswer) -> str:
        if len(self._kept) > MOST_KEPT:
            self._kept.clear()
        now, site = self._clock(), site_by_mx(domain, answer)
        if isinstance(answer, DnsFailed):
            self._kept[domain] = site, now + UNKNOWN_KEPT, float("inf")
        else:
            self._kept[domain] = site, now + KEPT, now + KEPT - RENEWED
        return site
