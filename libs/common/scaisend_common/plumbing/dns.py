"""DNS look-ups whose answers are values, kept in memory until they expire.

STANDARDS: RFC 5321 5.1 (MX, implicit MX), RFC 7505 (null MX), RFC 8020 (NXDOMAIN), RFC 2308 (negative caching).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.ANY.TXT import TXT

from scaisend_common.plumbing.flights import Flights

SHORTEST_TTL = 5.0
LONGEST_TTL = 3600.0
NEGATIVE_TTL = 60.0
FAILED_TTL = 5.0
QUERY_SECONDS = 2.0
LOOKUP_SECONDS = 5.0
EDNS_BYTES = 1232  # fits one datagram on any path (DNS flag day 2020)
MOST_QUERIES = 128
MOST_KEPT = 100_000
MOST_HOSTS = 20
MOST_ADDRESSES = 16
MOST_CNAMES = 8


@dataclass(frozen=True, slots=True)
class MxHosts:
    """(preference, host) in the order of preference; hosts in lower case without the final dot."""

    hosts: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class ImplicitMx:
    """The domain exists and has no MX: it is its own host, if it has an address."""


@dataclass(frozen=True, slots=True)
class AcceptsNoMail:
    """A null MX."""


@dataclass(frozen=True, slots=True)
class NoSuchDomain:
    """NXDOMAIN, or no possible name at all."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """IPv4 addresses, then IPv6 ones, as texts."""

    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NoAddresses:
    """The name exists and has neither A nor AAAA."""


@dataclass(frozen=True, slots=True)
class Texts:
    """TXT records, each with its strings joined; empty where the name has none or does not exist."""

    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DnsFailed:
    """No answer that can be relied on: time-out, SERVFAIL, nonsense. Ask again later."""

    why: str


MxAnswer = MxHosts | ImplicitMx | AcceptsNoMail | NoSuchDomain | DnsFailed
AddressAnswer = Addresses | NoAddresses | NoSuchDomain | DnsFailed
TextAnswer = Texts | DnsFailed

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class _Records:
    """What one query gave: the records (none: the name exists, the type does not), and how long they may be kept."""

    records: tuple[Any, ...]
    ttl: float


class _Kept(Generic[V]):
    """Answers with their expiry, bounded; one look-up under way per name."""

    def __init__(self, look_up: Callable[[str], Coroutine[Any, Any, tuple[V, float]]], clock: Callable[[], float]) -> None:
        self._look_up = look_up
        self._clock = clock
        self._answers: dict[str, tuple[float, V]] = {}
        self._flights: Flights[str, V] = Flights()

    async def get(self, name: str) -> V:
        kept = self._answers.get(name)
        if kept is not None and kept[0] > self._clock():
            return kept[1]
        return await self._flights.join(name, self._fetch)

    async def _fetch(self, name: str) -> V:
        answer, ttl = await self._look_up(name)
        self._answers.pop(name, None)
        if len(self._answers) >= MOST_KEPT:
            for oldest in list(self._answers)[: MOST_KEPT // 10]:
                del self._answers[oldest]
        self._answers[name] = (self._clock() + ttl, answer)
        return answer


class Resolver:
    """Asks one server (`host:port`), or those of /etc/resolv.conf where `server` is empty."""

    def __init__(self, server: str = "", *, clock: Callable[[], float] = time.monotonic) -> None:
        self._resolver = _library_resolver(server)
        self._turn = asyncio.Semaphore(MOST_QUERIES)
        self._mx: _Kept[MxAnswer] = _Kept(self._look_up_mx, clock)
        self._addresses: _Kept[AddressAnswer] = _Kept(self._look_up_addresses, clock)

    async def mx(self, domain: str) -> MxAnswer:
        """Where a domain (A-labels, lower case) takes its mail."""
        return await self._mx.get(domain)

    async def addresses(self, host: str) -> AddressAnswer:
        """The addresses of a host."""
        return await self._addresses.get(host)

    async def txt(self, name: str) -> TextAnswer:
        """The TXT records of a name, asked afresh."""
        found = await self._query(name, "TXT")
        match found:
            case _Records():
                return Texts(tuple(b"".join(r.strings).decode("utf-8", "replace") for r in found.records if isinstance(r, TXT)))
            case NoSuchDomain():
                return Texts(())
            case DnsFailed():
                return found

    async def _look_up_mx(self, domain: str) -> tuple[MxAnswer, float]:
        found = await self._query(domain, "MX")
        match found:
            case _Records():
                return mx_answer([(r.preference, _host(r.exchange)) for r in found.records if isinstance(r, MX)]), found.ttl
            case NoSuchDomain():
                return found, NEGATIVE_TTL
            case DnsFailed():
                return found, FAILED_TTL

    async def _look_up_addresses(self, host: str) -> tuple[AddressAnswer, float]:
        found = await asyncio.gather(self._query(host, "A"), self._query(host, "AAAA"))
        records = [each for each in found if isinstance(each, _Records)]
        ttl = min([each.ttl for each in records] if len(records) == len(found) else [FAILED_TTL])
        if addresses := tuple(str(r.address) for each in records for r in each.records[:MOST_ADDRESSES]):
            return Addresses(addresses), ttl
        for each in found:
            if isinstance(each, DnsFailed):
                return each, FAILED_TTL
        if records:
            return NoAddresses(), ttl
        return NoSuchDomain(), NEGATIVE_TTL

    async def _query(self, name: str, kind: str) -> _Records | NoSuchDomain | DnsFailed:
        """One question, its CNAMEs followed even where the server leaves that to us."""
        for _ in range(MOST_CNAMES):
            try:
                async with self._turn:
                    answer = await self._resolver.resolve(_absolute(name), kind, search=False, raise_on_no_answer=False)
            except (
                dns.resolver.NXDOMAIN,
                dns.name.LabelTooLong,
                dns.name.NameTooLong,
                dns.name.EmptyLabel,
                dns.name.BadEscape,
                UnicodeError,
            ):
                return NoSuchDomain()
            except (dns.exception.DNSException, OSError) as error:
                return DnsFailed(_why(error))
            if answer.rrset is not None:
                return _Records(tuple(answer.rrset), max(SHORTEST_TTL, min(LONGEST_TTL, answer.rrset.ttl)))
            target = answer.canonical_name.to_text()
            if target.lower().rstrip(".") == name.lower().rstrip("."):
                return _Records((), NEGATIVE_TTL)
            name = target
        return DnsFailed("a chain of CNAMEs without end")


def mx_answer(records: list[tuple[int, str]]) -> MxAnswer:
    """What MX records mean. A null MX beside others is a mistake of the domain (RFC 7505 3): the others count."""
    hosts = sorted((preference, host) for preference, host in records if host)
    if hosts:
        return MxHosts(tuple(hosts[:MOST_HOSTS]))
    return AcceptsNoMail() if records else ImplicitMx()


def _library_resolver(server: str) -> dns.asyncresolver.Resolver:
    resolver = dns.asyncresolver.Resolver(configure=not server)
    if server:
        host, _, port = server.rpartition(":")
        resolver.nameservers = [host.strip("[]")]
        resolver.port = int(port)
    resolver.timeout = QUERY_SECONDS
    resolver.lifetime = LOOKUP_SECONDS
    resolver.cache = None
    resolver.use_edns(0, 0, EDNS_BYTES)
    return resolver


def _absolute(name: str) -> dns.name.Name:
    return dns.name.from_text(name.rstrip(".") + ".")


def _host(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower().rstrip(".")


def _why(error: Exception) -> str:
    match error:
        case dns.exception.Timeout():
            return "no answer in time"
        case dns.resolver.NoNameservers():
            return "every server failed or refused (SERVFAIL)"
        case _:
            return f"{type(error).__name__}: {error}"
