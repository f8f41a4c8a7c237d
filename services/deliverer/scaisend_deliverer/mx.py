"""Where the mail of a domain goes: its MX hosts in order, their addresses, and which of those may be connected to (RFC 5321 5.1).

A domain's answer is kept for a short while, hosts of equal preference in one shuffled order, so that processes and minutes differ in it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from scaisend_common.mail.destination import is_prohibited
from scaisend_common.mail.site import mx_order, site_of
from scaisend_common.mail.verdict import Bounced, BounceKind, Deferred
from scaisend_common.plumbing.dns import AcceptsNoMail, AddressAnswer, Addresses, DnsFailed, MxAnswer, MxHosts, NoSuchDomain, Resolver
from scaisend_common.plumbing.flights import Flights
from scaisend_deliverer.target import Target

MOST_TARGETS = 5
MOST_HOSTS = 10  # asked for addresses
KEPT = 30.0  # seconds
RENEWED = 10.0  # seconds before that in which who asks has it looked up anew, and does not wait for it
FAILED_KEPT = 5.0
MOST_KEPT = 50_000


@dataclass(frozen=True, slots=True)
class Destination:
    """The addresses to try, in order, at least one; `site` as these hosts name it."""

    site: str
    targets: tuple[Target, ...]


Answer = Destination | Bounced | Deferred


def answer_of(domain: str, mx: MxAnswer) -> Answer | MxHosts:
    """Return what the MX answer alone decides, or the hosts whose addresses must be asked for."""
    match mx:
        case MxHosts():
            return mx
        case AcceptsNoMail():
            return Bounced(f"{domain} accepts no mail (null MX)", "5.1.10", BounceKind.BOUNCE)
        case NoSuchDomain():
            return Bounced(f"the domain {domain} does not exist", "5.1.2", BounceKind.BOUNCE)
        case DnsFailed(why):
            return Deferred(f"DNS for {domain}: {why}")
        case _:
            return MxHosts(((0, domain),))  # implicit MX


def destination_of(
    domain: str, mx: MxHosts, order: Iterable[str], found: Mapping[str, AddressAnswer], may: Callable[[str], bool]
) -> Answer:
    """Return the targets that hosts in this `order` have; `found` are their addresses, and `may` says which may be connected to.

    Hosts without any address never take the mail; one whose look-up failed may do so later.
    """
    preference = {host.rstrip(".").lower(): preference for preference, host in reversed(mx.hosts)}
    targets: list[Target] = []
    prohibited: list[str] = []
    failed = ""
    for host in order:
        match found.get(host):
            case Addresses(addresses):
                targets += [Target(preference[host], host, address) for address in addresses if may(address)]
                prohibited += [address for address in addresses if not may(address)]
            case DnsFailed(why):
                failed = f"DNS for {host}: {why}"
            case _:
                pass
    if targets:
        return Destination(site_of(domain, [host for _, host in mx.hosts]), tuple(targets[:MOST_TARGETS]))
    if failed:
        return Deferred(failed)
    why = f"no public address: {', '.join(prohibited)}" if prohibited else "no address"
    return Bounced(f"the mail hosts of {domain} have {why}", "5.4.4", BounceKind.BLOCKED)


def permitted(*, allow_loopback: bool, source_ip: str) -> Callable[[str], bool]:
    """Return the test of an address: public, or this machine's own where development asks for it; of the source's family."""
    version = ip_address(source_ip).version if source_ip else 0

    def may(address: str) -> bool:
        ip = ip_address(address)
        if version and ip.version != version:
            return False
        return not is_prohibited(address) or (allow_loopback and ip.is_loopback)

    return may


class Mx:
    """Answers for domains, kept."""

    def __init__(
        self,
        resolver: Resolver,
        may: Callable[[str], bool],
        shuffle: Callable[[list[str]], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._resolver = resolver
        self._may = may
        self._shuffle = shuffle
        self._clock = clock
        self._kept: dict[str, tuple[Answer, float, float]] = {}  # an answer, its expiry, and from when on it is looked up anew
        self._flights: Flights[str, Answer] = Flights()

    async def destination(self, domain: str) -> Answer:
        """Return where the mail of a domain (lower-case A-labels) goes."""
        now = self._clock()
        answer, expires_at, renewed_from = self._kept.get(domain, (None, 0.0, 0.0))
        if answer is None or expires_at <= now:
            return await self._flights.join(domain, self._look_up)
        if renewed_from < now:
            self._flights.start(domain, self._look_up)
        return answer

    async def _look_up(self, domain: str) -> Answer:
        answer = await self._asked(domain)
        now = self._clock()
        known, expires_at, _ = self._kept.get(domain, (None, 0.0, 0.0))
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        if not isinstance(answer, Deferred):
            self._kept[domain] = answer, now + KEPT, now + KEPT - RENEWED
        elif known is None or expires_at <= now:
            self._kept[domain] = answer, now + FAILED_KEPT, float("inf")
        else:  # it could not be renewed, and stays good until it expires
            self._kept[domain] = known, expires_at, now + FAILED_KEPT
            return known
        return answer

    async def _asked(self, domain: str) -> Answer:
        mx = answer_of(domain, await self._resolver.mx(domain))
        if not isinstance(mx, MxHosts):
            return mx
        order = mx_order(mx.hosts, self._shuffle)[:MOST_HOSTS]
        found = await asyncio.gather(*(self._resolver.addresses(host) for host in order))
        return destination_of(domain, mx, order, dict(zip(order, found, strict=True)), self._may)
