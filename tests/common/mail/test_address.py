import string
import timeit

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from scaisend_common.mail.address import Address, domain_to_ascii, parse_address, suppression_key

ATEXT = string.ascii_letters + string.digits + "!#$%&'*+/=?^_`{|}~-"
atoms = st.text(ATEXT, min_size=1, max_size=12)
dot_atoms = st.lists(atoms, min_size=1, max_size=3).map(".".join)
labels = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,10}[a-zA-Z0-9])?", fullmatch=True).filter(lambda label: label[2:4] != "--")
top_levels = st.from_regex(r"[a-zA-Z]{2,8}", fullmatch=True)
domains = st.tuples(st.lists(labels, min_size=1, max_size=4), top_levels).map(lambda parts: ".".join([*parts[0], parts[1]]))
idn_labels = st.text("äöüßçñдмайθελ例え漢字", min_size=1, max_size=8)
idn_domains = st.tuples(idn_labels, top_levels).map(".".join).filter(lambda domain: domain_to_ascii(domain) is not None)
quoted_locals = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters='<>"\\'), min_size=1, max_size=20).map(
    lambda text: f'"{text}"'
)
utf8_locals = st.text("äöüдмайθ例え字abc", min_size=1, max_size=15)
addresses = st.tuples(dot_atoms | quoted_locals | utf8_locals, domains | idn_domains).map("@".join)


@given(addresses)
def test_a_good_address_is_taken_and_its_text_parses_to_itself(text: str) -> None:
    address = parse_address(text)
    assert address is not None
    assert parse_address(str(address)) == address


@given(dot_atoms, domains)
def test_a_plain_local_part_is_kept_and_the_domain_is_folded(local: str, domain: str) -> None:
    assert parse_address(f"{local}@{domain}") == Address(local, domain.lower())


@given(st.text(max_size=80))
@example("a@b.c\n")
@example("a@b.c\u2028")
@example("\ud800@b.c")
@example("a@b\uff0ec\uff20d.e")
@example('"a\\\\"@b.c')
@example("a@xn--.de")
def test_whatever_is_taken_fits_onto_a_command_line(text: str) -> None:
    address = parse_address(text)
    if address is not None:
        line = str(address)
        assert line.isprintable()
        assert {" ", "<", ">"}.isdisjoint(line)
        assert len(line.encode()) <= 254
        assert len(address.local.encode()) <= 64
        assert address.domain.isascii()
        assert address.domain == address.domain.lower()
        assert "." in address.domain


@given(addresses, st.sampled_from("\r\n\0\t <>\x7f\x85\u2028\u202e\u00a0"), st.data())
def test_a_control_character_a_space_or_an_angle_bracket_anywhere_is_refused(text: str, bad: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    assert parse_address(text[:at] + bad + text[at:]) is None


@pytest.mark.parametrize(
    "text",
    [
        "", "@", "a", "a@", "@b.de", "a@b", "a@b.", "a@.b.de", "a@b..de", ".a@b.de", "a.@b.de", "a..b@c.de", "a b@c.de", "a@b_c.de", "a@-b.de",
        "a@b-.de", "a@192.0.2.1", "a@[192.0.2.1]", "a@[IPv6:::1]", "a@b.1com", '"@b.de', '""@b.de', '"a"b@c.de', 'a"b"@c.de', "a(c)@b.de", "a,b@c.de",
        "a@b@c.de", "Name <a@b.de>", "<a@b.de>", "a;b@c.de", "a:b@c.de", "a\\b@c.de", "a@bü cher.de", "a@bücher..de", "a@\u2028.de", "mailto:a@b.de",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    assert parse_address(text) is None


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("A.B@Example.COM", "A.B@example.com"),
        ("a@b.c", "a@b.c"),
        ("o'neil+tag@mail.example.co.uk", "o'neil+tag@mail.example.co.uk"),
        ("postmaster@bücher.example", "postmaster@xn--bcher-kva.example"),
        ("a@BÜCHER.example", "a@xn--bcher-kva.example"),
        ("a@faß.de", "a@xn--fa-hia.de"),
        ("a@例え。テスト", "a@xn--r8jz45g.xn--zckzah"),
        ("a@ｅｘａｍｐｌｅ.com", "a@example.com"),
        ("почта@example.com", "почта@example.com"),
        ('"plain"@b.de', "plain@b.de"),
        ('"pl\\ain"@b.de', "plain@b.de"),
        ('"a@b"@c.de', '"a@b"@c.de'),
        ('"a\\"b"@c.de', '"a\\"b"@c.de'),
        ('"a..b"@c.de', '"a..b"@c.de'),
    ],
)
def test_an_address_has_one_form(text: str, canonical: str) -> None:
    assert str(parse_address(text)) == canonical


def test_the_limits_of_rfc_5321_hold_in_octets() -> None:
    assert parse_address("a" * 64 + "@b.de") is not None
    assert parse_address("a" * 65 + "@b.de") is None
    assert parse_address("ü" * 32 + "@b.de") is not None
    assert parse_address("ü" * 33 + "@b.de") is None
    assert parse_address("a@" + "b" * 63 + ".de") is not None
    assert parse_address("a@" + "b" * 64 + ".de") is None
    long_domain = ".".join(["b" * 63] * 3)
    assert parse_address("a" * (254 - 1 - len(long_domain) - 3) + "@" + long_domain + ".de") is not None
    assert parse_address("a" * (255 - 1 - len(long_domain) - 3) + "@" + long_domain + ".de") is None


@given(utf8_locals, domains)
def test_only_a_local_part_can_need_smtputf8(local: str, domain: str) -> None:
    address = parse_address(f"{local}@{domain}")
    assert address is not None
    assert address.is_ascii == local.isascii()


@given(addresses)
def test_the_suppression_key_is_the_same_for_all_spellings_in_case(text: str) -> None:
    address, upper = parse_address(text), parse_address(text.upper())
    assume(address is not None and upper is not None)
    assert address is not None
    assert suppression_key(address) == suppression_key(address).lower()
    if upper is not None and text.isascii():
        assert suppression_key(address) == suppression_key(upper)


def test_hostile_text_takes_no_long_time() -> None:
    hostile = ["a." * 200_000, "a@" + "a-" * 200_000, '"' + "\\a" * 200_000, "a@" + "ü" * 200_000 + ".de", "@" * 200_000, "a" * 250 + "@"]
    assert timeit.timeit(lambda: [parse_address(text) for text in hostile], number=1) < 1
