"""Where the mail of a domain goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import Options, Sandbox
from scaisend_common.mail.verdict import Bounced, BounceKind, Deferred
from scaisend_common.plumbing.dns import (
    AcceptsNoMail,
    AddressAnswer,
    Addresses,
    DnsFailed,
    ImplicitMx,
    MxAnswer,
    MxHosts,
    NoAddresses,
    NoSuchDomain,
    Resolver,
)
from scaisend_deliverer.mx import KEPT, MOST_TARGETS, RENEWED, Destination, Mx, answer_of, destination_of, permitted
from scaisend_deliverer.target import Target

public = permitted(allow_loopback=False, source_ip="")
local = permitted(allow_loopback=True, source_ip="")
addresses = st.lists(st.ip_addresses().map(str), max_size=4).map(lambda found: Addresses(tuple(found)) if found else NoAddresses())
answers = addresses | st.sampled_from([NoAddresses(), NoSuchDomain(), DnsFailed("SERVFAIL")])


def keep(hosts: list[str]) -> None:
    """A shuffle that leaves all as it is."""


def test_null_mx_is_not_a_host() -> None:
    verdict = answer_of("nullmx.test", AcceptsNoMail())
    assert isinstance(verdict, Bounced)
    assert (verdict.status, verdict.kind) == ("5.1.10", BounceKind.BOUNCE)


def test_a_domain_that_does_not_exist_bounces_and_one_that_cannot_be_asked_about_waits() -> None:
    verdict = answer_of("gone.test", NoSuchDomain())
    assert isinstance(verdict, Bounced)
    assert verdict.status == "5.1.2"
    assert isinstance(answer_of("broken.test", DnsFailed("SERVFAIL")), Deferred)


def test_a_domain_without_mx_is_its_own_host() -> None:
    assert answer_of("implicit.test", ImplicitMx()) == MxHosts(((0, "implicit.test"),))


@given(st.dictionaries(st.sampled_from(["a.x.test", "b.x.test", "c.x.test"]), answers, min_size=1))
def test_only_public_addresses_are_targets(found: dict[str, AddressAnswer]) -> None:
    hosts = MxHosts(tuple((10 * n, host) for n, host in enumerate(found)))
    answer = destination_of("x.test", hosts, list(found), found, public)
    match answer:
        case Destination(_, targets):
            assert 1 <= len(targets) <= MOST_TARGETS
            assert all(public(target.address) for target in targets)
            assert [target.preference for target in targets] == sorted(target.preference for target in targets)
        case Deferred():
            assert any(isinstance(each, DnsFailed) for each in found.values())
        case Bounced():
            assert not any(isinstance(each, DnsFailed) for each in found.values())
            assert answer.status == "5.4.4"


def test_a_private_address_is_never_a_target() -> None:
    hosts = MxHosts(((10, "mx.private.test"),))
    for address in ("10.0.0.1", "127.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1"):
        assert isinstance(
            destination_of("private.test", hosts, ["mx.private.test"], {"mx.private.test": Addresses((address,))}, public), Bounced
        )
    assert local("127.0.0.1")
    assert not local("10.0.0.1")  # development may talk to this machine, not to whatever network it happens to be in


def test_a_source_reaches_only_its_own_family() -> None:
    may = permitted(allow_loopback=True, source_ip="127.0.0.1")
    assert may("127.0.0.2")
    assert not may("::1")


@pytest.fixture
async def mx() -> AsyncIterator[Callable[[str], object]]:
    async with Sandbox(Options(sites=1)) as internet:
        yield Mx(Resolver(internet.places.dns), local, keep).destination


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("plain.test", Destination("plain.test", (Target(10, "mx.plain.test", "127.25.2.1"),))),
        (
            "two-mx.test",
            Destination("two-mx.test", (Target(10, "mx1.two-mx.test", "127.25.4.1"), Target(20, "mx2.two-mx.test", "127.25.4.2"))),
        ),
        ("implicit.test", Destination("implicit.test", (Target(0, "implicit.test", "127.25.5.1"),))),
        ("cname.test", Destination("plain.test", (Target(10, "mx.plain.test", "127.25.2.1"),))),
        ("nullmx.test", "5.1.10"),
        ("nowhere.test", "5.1.2"),
        ("private.test", "5.4.4"),
    ],
)
async def test_the_small_internet_is_read_right(mx: Callable, domain: str, expected: object) -> None:  # type: ignore[type-arg]
    answer = await mx(domain)
    assert answer == expected or (isinstance(answer, Bounced) and answer.status == expected)


class Breakable(Resolver):
    """Has no answers while it is broken, nor remembers any."""

    is_broken = False

    async def mx(self, domain: str) -> MxAnswer:
        return DnsFailed("broken") if self.is_broken else await super().mx(domain)


async def test_a_domain_in_use_is_looked_up_anew_before_its_answer_expires_and_nobody_waits() -> None:
    now = 0.0
    async with Sandbox(Options(sites=1)) as internet:
        resolver = Breakable(internet.places.dns)
        mx = Mx(resolver, local, keep, clock=lambda: now)
        first = await mx.destination("plain.test")
        now = KEPT - RENEWED / 2
        assert await mx.destination("plain.test") is first
        async with asyncio.timeout(5):
            while (renewed := await mx.destination("plain.test")) is first:  # noqa: ASYNC110 - the renewal is nobody's to wait for
                await asyncio.sleep(0.01)
        now = KEPT + 1
        assert await mx.destination("plain.test") is renewed
        resolver.is_broken, now = True, KEPT * 2 - RENEWED
        for _ in range(3):  # it cannot be renewed, and is good until it expires
            assert await mx.destination("plain.test") is renewed
            await asyncio.sleep(0.01)
        now = KEPT * 3
        assert isinstance(await mx.destination("plain.test"), Deferred)


async def test_a_failing_zone_defers(mx: Callable) -> None:  # type: ignore[type-arg]
    assert isinstance(await mx("servfail.test"), Deferred)
