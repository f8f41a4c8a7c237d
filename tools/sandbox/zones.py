"""The zones of the small internet: which MX hosts it has, what they offer, and the records that lead to them.

STANDARDS: RFC 5321 5.1 (MX look-up, implicit MX), RFC 7505 (null MX), RFC 2606 (.test).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sandbox.names import Record

POSTFIX_ADDRESS = "127.25.9.1"  # nobody listens there unless a test runs a Postfix
MOST_SITES = 100


@dataclass(frozen=True, slots=True)
class Offers:
    """The extensions that a host announces."""

    starttls: bool = False
    eight_bit: bool = True
    smtputf8: bool = True
    pipelining: bool = True


@dataclass(frozen=True, slots=True)
class MxHost:
    """A host that takes mail. `site` names what shares connection limits: the hosts of one domain."""

    name: str
    address: str
    site: str
    offers: Offers


MODERN = Offers()
SEVEN_BIT = Offers(eight_bit=False, smtputf8=False, pipelining=False)

_HOSTS = (
    MxHost("mx.tls.test", "127.25.1.1", "tls.test", Offers(starttls=True)),
    MxHost("mx.plain.test", "127.25.2.1", "plain.test", MODERN),
    MxHost("mx.7bit.test", "127.25.3.1", "7bit.test", SEVEN_BIT),
    MxHost("mx2.two-mx.test", "127.25.4.2", "two-mx.test", MODERN),
    MxHost("implicit.test", "127.25.5.1", "implicit.test", MODERN),
    MxHost("mx.truncated.test", "127.25.6.1", "truncated.test", MODERN),
)


def mx_hosts(sites: int) -> tuple[MxHost, ...]:
    """Return every host that listens; `sites` of them share the domains below sites.test."""
    return (*_HOSTS, *(MxHost(f"mx.s{n}.sites.test", f"127.25.{100 + n}.1", f"s{n}.sites.test", MODERN) for n in range(sites)))


def records(sites: int, postfix_address: str) -> list[Record]:
    """Return what the DNS server knows from the start."""
    return [
        *(Record(host.name, "A", host.address) for host in mx_hosts(sites)),
        *(Record(domain, "MX", f"10 mx.{domain}") for domain in ("tls.test", "plain.test", "7bit.test", "truncated.test")),
        Record("two-mx.test", "MX", "10 mx1.two-mx.test"),
        Record("two-mx.test", "MX", "20 mx2.two-mx.test"),
        Record("mx1.two-mx.test", "A", "127.25.4.1"),  # nobody listens there
        Record("nullmx.test", "MX", "0 ."),
        Record("cname.test", "CNAME", "plain.test"),
        Record("private.test", "MX", "10 mx.private.test"),
        Record("mx.private.test", "A", "10.0.0.1"),
        Record("postfix.test", "MX", "10 mx.postfix.test"),
        Record("mx.postfix.test", "A", postfix_address),
        *(Record(f"{verb}.test", "VERB", verb) for verb in ("servfail", "nxdomain", "timeout", "truncated")),
        *_site_records(sites),
    ]


def _site_records(sites: int) -> Iterator[Record]:
    for n in range(sites):
        for name in (f"s{n}.sites.test", f"*.s{n}.sites.test"):
            yield Record(name, "MX", f"10 mx.s{n}.sites.test")
