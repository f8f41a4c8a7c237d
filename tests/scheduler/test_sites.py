from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import dns.message
import dns.rcode
import dns.rrset
import pytest

from scaisend_common.plumbing.dns import AcceptsNoMail, DnsFailed, ImplicitMx, MxAnswer, MxHosts, NoSuchDomain, Resolver
from scaisend_scheduler.sites import KEPT, RENEWED, Sites, site_by_mx


class Nameserver(asyncio.DatagramProtocol):
    """Answers MX by a table; `slow.test` after a second, what is not in the table with NXDOMAIN."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.mx = {
            "one.test.": "10 mx1.shared.net.",
            "two.test.": "10 mx2.shared.net.",
            "slow.test.": "10 mx1.shared.net.",
            "null.test.": "0 .",
        }

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text()
        self.asked.append(name)
        answer = dns.message.make_response(query)
        if name in self.mx:
            answer.answer.append(dns.rrset.from_text(name, 300, "IN", "MX", self.mx[name]))
        else:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        delay = 1.0 if name == "slow.test." else 0.0
        asyncio.get_running_loop().call_later(delay, self.transport.sendto, answer.to_wire(), addr)


@pytest.fixture
async def nameserver() -> AsyncIterator[Nameserver]:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(Nameserver, local_addr=("127.0.0.1", 0))
    yield protocol
    transport.close()


def asking(nameserver: Nameserver, patience: float = 0.3) -> Sites:
    return Sites(Resolver(f"127.0.0.1:{nameserver.transport.get_extra_info('sockname')[1]}"), patience=patience)


async def test_domains_of_one_operator_are_one_site_and_others_are_themselves(nameserver: Nameserver) -> None:
    sites = await asking(nameserver).of(["one.test", "two.test", "null.test", "gone.test", "one.test"])
    assert sites == {"one.test": "shared.net", "two.test": "shared.net", "null.test": "null.test", "gone.test": "gone.test"}


async def test_a_slow_domain_is_waited_for_once_and_known_when_it_has_answered(nameserver: Nameserver) -> None:
    now = 0.0
    sites = Sites(Resolver(f"127.0.0.1:{nameserver.transport.get_extra_info('sockname')[1]}"), patience=0.1, clock=lambda: now)
    start = time.monotonic()
    assert await sites.of(["slow.test", "one.test"]) == {"slow.test": "slow.test", "one.test": "shared.net"}
    assert await sites.of(["slow.test", "one.test"]) == {"slow.test": "slow.test", "one.test": "shared.net"}
    assert time.monotonic() - start < 0.5
    await asyncio.sleep(1.2)
    now = 6.0
    assert await sites.of(["slow.test"]) == {"slow.test": "shared.net"}
    assert nameserver.asked.count("slow.test.") == 1


class Counting(Resolver):
    """Counts what it is asked."""

    asked = 0

    async def mx(self, domain: str) -> MxAnswer:
        self.asked += 1
        return await super().mx(domain)


async def test_a_site_that_is_in_use_is_looked_up_anew_before_it_expires_and_nobody_waits(nameserver: Nameserver) -> None:
    now = 0.0
    resolver = Counting(f"127.0.0.1:{nameserver.transport.get_extra_info('sockname')[1]}")
    sites = Sites(resolver, clock=lambda: now)
    for now, asked in ((0.0, 1), (KEPT - RENEWED - 1, 1), (KEPT - 1, 2), (KEPT + 10, 2), (2 * KEPT + 10, 3)):  # noqa: B007 - the clock reads it
        assert await sites.of(["one.test"]) == {"one.test": "shared.net"}
        await asyncio.sleep(0.05)
        assert resolver.asked == asked


async def test_without_any_nameserver_every_domain_is_its_own_site_in_time() -> None:
    start = time.monotonic()
    assert await Sites(Resolver("127.0.0.1:9"), patience=0.3).of(["one.test"]) == {"one.test": "one.test"}
    assert time.monotonic() - start < 0.6


@pytest.mark.parametrize("answer", [ImplicitMx(), AcceptsNoMail(), NoSuchDomain(), DnsFailed("x")])
def test_what_names_no_host_is_its_own_site(answer: ImplicitMx | AcceptsNoMail | NoSuchDomain | DnsFailed) -> None:
    assert site_by_mx("a.test", answer) == "a.test"


def test_a_large_provider_is_one_site_whatever_its_hosts() -> None:
    assert site_by_mx("a.test", MxHosts(((1, "aspmx.l.google.com"), (5, "alt1.aspmx.l.google.com")))) == "google"
