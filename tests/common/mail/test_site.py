import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.mail.site import mx_order, site_of

hosts = st.from_regex(r"[a-z0-9]{1,8}(\.[a-z0-9]{1,8}){0,4}", fullmatch=True)
google = st.sampled_from(
    ["aspmx.l.google.com", "ALT1.aspmx.l.google.com.", "aspmx2.googlemail.com", "smtp.google.com", "gmail-smtp-in.l.google.com"]
)
preferences = st.lists(st.tuples(st.integers(0, 5), hosts | st.just(".")), max_size=10)


@given(st.lists(hosts, min_size=1, max_size=5), st.randoms(use_true_random=False), hosts, hosts)
def test_a_site_depends_on_the_set_of_hosts_alone(names: list[str], dice: random.Random, one: str, other: str) -> None:
    mixed = [name.upper() + "." for name in names + names]
    dice.shuffle(mixed)
    assert site_of(one, names) == site_of(other, mixed)


@given(hosts, st.lists(hosts, min_size=1, max_size=30))
def test_a_site_name_is_short_and_no_stranger_can_take_a_providers(domain: str, names: list[str]) -> None:
    name = site_of(domain, names)
    assert 0 < len(name) <= 130
    assert "." in name
    assert " " not in name


@given(st.lists(google, min_size=1, max_size=5))
def test_a_domain_whose_hosts_are_all_a_providers_is_at_that_provider(names: list[str]) -> None:
    assert site_of("example.org", names) == "google"


@given(st.lists(google, min_size=1, max_size=4), st.integers(0, 4))
def test_one_foreign_host_makes_it_another_site(names: list[str], at: int) -> None:
    assert site_of("example.org", [*names[:at], "mx.example.org", *names[at:]]) != "google"


@pytest.mark.parametrize(
    ("names", "site"),
    [
        (["example-com.mail.protection.outlook.com"], "microsoft"),
        (["example-com.a-v1.mx.microsoft"], "microsoft"),
        (["hotmail-com.olc.protection.outlook.com"], "outlook"),
        (["mta5.am0.yahoodns.net", "mta6.am0.yahoodns.net", "mta7.am0.yahoodns.net"], "yahoo"),
        (["mx01.mail.icloud.com", "mx02.mail.icloud.com"], "apple"),
        (["notgoogle.com"], "notgoogle.com"),
        (["mx.google.com.example.org"], "google.com.example.org"),
        (["mx1.example.net", "mx2.example.net"], "example.net"),
        (["mx1.example.net", "mx2.example.org"], "example.net+example.org"),
        (["mail.example.co.uk"], "example.co.uk"),
        (["example.co.uk"], "example.co.uk"),
        (["example.net"], "example.net"),
        (["google"], "google."),
        (["mx.tls.test"], "tls.test"),
        ([], "example.com"),
    ],
)
def test_sites_as_they_are_found(names: list[str], site: str) -> None:
    assert site_of("example.com", names) == site


@given(preferences, st.integers(0, 1000))
def test_the_order_keeps_preferences_and_loses_no_host(records: list[tuple[int, str]], seed: int) -> None:
    best: dict[str, int] = {}
    for preference, host in records:
        if host != ".":
            best[host] = min(preference, best.get(host, preference))
    order = mx_order(records, random.Random(seed).shuffle)
    assert sorted(order) == sorted(best)
    assert [best[host] for host in order] == sorted(best.values())


def test_hosts_of_equal_preference_are_all_first_equally_often() -> None:
    dice, counts = random.Random(7), dict.fromkeys("abc", 0)
    for _ in range(3000):
        counts[mx_order([(10, "a"), (10, "b"), (10, "c"), (20, "d")], dice.shuffle)[0]] += 1
    assert sum((count - 1000) ** 2 / 1000 for count in counts.values()) < 13.8  # chi squared, 2 degrees of freedom, 0.1 %


def test_the_root_beside_other_hosts_is_no_host() -> None:
    assert mx_order([(0, "."), (10, "MX.example.org.")], lambda _: None) == ["mx.example.org"]
