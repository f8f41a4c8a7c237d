import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.plumbing.dns import (
    FAILED_TTL,
    LONGEST_TTL,
    MOST_HOSTS,
    NEGATIVE_TTL,
    SHORTEST_TTL,
    AcceptsNoMail,
    Addresses,
    DnsFailed,
    ImplicitMx,
    MxHosts,
    NoAddresses,
    NoSuchDomain,
    Resolver,
    Texts,
    mx_answer,
)

hosts = st.tuples(st.integers(0, 65535), st.from_regex(r"[a-z]{1,8}\.test", fullmatch=True))


@given(st.lists(hosts, max_size=40), st.booleans())
def test_mx_records_come_in_order_of_preference_and_a_null_mx_counts_only_alone(records: list[tuple[int, str]], has_null: bool) -> None:
    answer = mx_answer(records + [(0, "")] * has_null)
    if records:
        assert answer == MxHosts(tuple(sorted(records)[:MOST_HOSTS]))
    else:
        assert answer == (AcceptsNoMail() if has_null else ImplicitMx())


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_what_a_domain_says_of_its_mail(name_server) -> None:
    name_server.zone = {
        ("two.test.", "MX"): ["20 B.two.test.", "10 a.two.test."],
        ("null.test.", "MX"): ["0 ."],
        ("mixed.test.", "MX"): ["0 .", "5 mx.mixed.test."],
        ("implicit.test.", "A"): ["192.0.2.1"],
        ("alias.test.", "CNAME"): ["other.test."],
        ("other.test.", "CNAME"): ["two.test."],
        ("dangling.test.", "CNAME"): ["gone.test."],
        ("round.test.", "CNAME"): ["about.test."],
        ("about.test.", "CNAME"): ["round.test."],
        ("broken.test.", "MX"): ["SERVFAIL"],
        ("large.test.", "MX"): ["TRUNCATED", *(f"10 mx{n:02}.large.test." for n in range(60))],
    }
    resolver = Resolver(name_server.address)
    assert await resolver.mx("two.test") == MxHosts(((10, "a.two.test"), (20, "b.two.test")))
    assert await resolver.mx("null.test") == AcceptsNoMail()
    assert await resolver.mx("mixed.test") == MxHosts(((5, "mx.mixed.test"),))
    assert await resolver.mx("implicit.test") == ImplicitMx()
    assert await resolver.mx("alias.test") == MxHosts(((10, "a.two.test"), (20, "b.two.test")))
    assert await resolver.mx("dangling.test") == NoSuchDomain()
    assert await resolver.mx("nowhere.test") == NoSuchDomain()
    assert isinstance(await resolver.mx("round.test"), DnsFailed)
    assert isinstance(await resolver.mx("broken.test"), DnsFailed)
    assert await resolver.mx("large.test") == MxHosts(tuple((10, f"mx{n:02}.large.test") for n in range(MOST_HOSTS)))


@pytest.mark.parametrize("name", ["a..b", "x" * 64 + ".test", ".".join(["x" * 60] * 5), "", "\\300.test"])
async def test_an_impossible_name_is_no_domain(name_server, name: str) -> None:
    assert await Resolver(name_server.address).mx(name) in (NoSuchDomain(), ImplicitMx())


async def test_addresses_are_those_of_both_families(name_server) -> None:
    name_server.zone = {
        ("both.test.", "A"): ["192.0.2.1", "192.0.2.2"],
        ("both.test.", "AAAA"): ["2001:db8::1"],
        ("six.test.", "AAAA"): ["2001:db8::6"],
        ("none.test.", "TXT"): ["x"],
        ("half.test.", "A"): ["192.0.2.3"],
        ("half.test.", "AAAA"): ["SERVFAIL"],
        ("unclear.test.", "A"): ["SERVFAIL"],
        ("alias.test.", "CNAME"): ["six.test."],
    }
    resolver = Resolver(name_server.address)
    both = await resolver.addresses("both.test")
    assert isinstance(both, Addresses)
    assert sorted(both.addresses[:2]) == ["192.0.2.1", "192.0.2.2"]
    assert both.addresses[2:] == ("2001:db8::1",)
    assert await resolver.addresses("six.test") == Addresses(("2001:db8::6",))
    assert await resolver.addresses("none.test") == NoAddresses()
    assert await resolver.addresses("half.test") == Addresses(("192.0.2.3",))
    assert isinstance(await resolver.addresses("unclear.test"), DnsFailed)
    assert await resolver.addresses("nowhere.test") == NoSuchDomain()
    assert await resolver.addresses("alias.test") == Addresses(("2001:db8::6",))


async def test_texts_join_their_strings(name_server) -> None:
    name_server.zone = {("s1._domainkey.a.test.", "TXT"): ['"v=DKIM1; p=" "abc"', '"other"'], ("x.test.", "TXT"): ["SERVFAIL"]}
    resolver = Resolver(name_server.address)
    found = await resolver.txt("s1._domainkey.a.test")
    assert isinstance(found, Texts)
    assert set(found.texts) == {"v=DKIM1; p=abc", "other"}
    assert await resolver.txt("nowhere.test") == Texts(())
    assert isinstance(await resolver.txt("x.test"), DnsFailed)


@pytest.mark.parametrize(("ttl", "kept_for"), [(0, SHORTEST_TTL), (300, 300.0), (1_000_000, LONGEST_TTL)])
async def test_an_answer_is_kept_as_long_as_it_says_within_bounds(name_server, ttl: int, kept_for: float) -> None:
    name_server.zone = {("a.test.", "MX"): ["10 mx.a.test."]}
    name_server.ttl = ttl
    clock = Clock()
    resolver = Resolver(name_server.address, clock=clock)
    await resolver.mx("a.test")
    clock.now += kept_for - 0.5
    await resolver.mx("a.test")
    assert name_server.asked["a.test.", "MX"] == 1
    clock.now += 1
    await resolver.mx("a.test")
    assert name_server.asked["a.test.", "MX"] == 2


async def test_failures_are_kept_shortly_and_absence_a_little_longer(name_server) -> None:
    name_server.zone = {("broken.test.", "MX"): ["SERVFAIL"]}
    clock = Clock()
    resolver = Resolver(name_server.address, clock=clock)
    await resolver.mx("broken.test")
    await resolver.mx("nowhere.test")
    name_server.zone = {("broken.test.", "MX"): ["10 mx.test."], ("nowhere.test.", "MX"): ["10 mx.test."]}
    clock.now += FAILED_TTL + 0.5
    assert isinstance(await resolver.mx("broken.test"), MxHosts)
    assert isinstance(await resolver.mx("nowhere.test"), NoSuchDomain)
    clock.now += NEGATIVE_TTL
    assert isinstance(await resolver.mx("nowhere.test"), MxHosts)


async def test_a_hundred_who_ask_at_once_are_one_query(name_server) -> None:
    name_server.zone = {("a.test.", "MX"): ["10 mx.a.test."]}
    resolver = Resolver(name_server.address)
    await asyncio.gather(*(resolver.mx("a.test") for _ in range(100)))
    assert name_server.asked["a.test.", "MX"] == 1


async def test_a_silent_server_is_given_up_in_bounded_time(name_server) -> None:
    name_server.zone = {("slow.test.", "MX"): ["SILENCE"]}
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await Resolver(name_server.address).mx("slow.test") == DnsFailed("no answer in time")
    assert loop.time() - began < 7
