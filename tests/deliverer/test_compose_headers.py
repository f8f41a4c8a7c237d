import re
import timeit
from datetime import UTC, datetime, timedelta, timezone
from email.header import decode_header, make_header
from email.headerregistry import Address as ParsedAddress
from email.utils import decode_rfc2231, getaddresses, parsedate_to_datetime
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.deliverer.mails import mailboxes as some_mailboxes
from tests.deliverer.mails import one_line, parsed, texts

from scaisend_common.mail.address import Address, Mailbox
from scaisend_deliverer.headers import as_written, date_value, extended_parameter, fold, is_field_name, mailboxes, unstructured, uris

ENCODED_WORD = re.compile(rb"=\?utf-8\?B\?[A-Za-z0-9+/=]*\?=")


def field(name: str, value: bytes) -> bytes:
    return f"{name}: ".encode() + value + b"\r\n\r\n"


def assert_sound(name: str, value: bytes) -> None:
    """One field: its lines are short, its folds are folds, nothing else controls anything."""
    lines = (f"{name}: ".encode() + value).split(b"\r\n")
    assert all(line[:1] in b" \t" and line.strip() for line in lines[1:])
    assert not re.search(rb"[\x00-\x1f\x7f]", b"".join(lines))
    assert all(len(line) <= 998 for line in lines)
    assert all(len(line) <= 78 or b" " not in line.removeprefix(name.encode() + b": ").strip() for line in lines)
    assert len(parsed(field(name, value)).keys()) == 1


@given(texts)
@example("=?utf-8?q?=0D=0ABcc:_a?=")
@example("x" * 2000)
@example("a" + " " * 300 + "b")
@example("ü " * 200)
@example("a  ü  b")
@example("ü" + "x" * 100 + " " + "y" * 100)
def test_a_subject_says_what_was_meant(text: str) -> None:
    value = unstructured("Subject", text)
    assert_sound("Subject", value)
    assert value.isascii()
    assert str(parsed(field("Subject", value))["subject"]) == one_line(text)


@given(texts)
@example("😀" * 200)
@example("aé" * 200)
def test_encoded_words_are_short_and_of_whole_characters(text: str) -> None:
    for word in ENCODED_WORD.findall(unstructured("Subject", text)):
        assert len(word) <= 75
        [(raw, charset)] = decode_header(word.decode())
        assert charset == "utf-8"
        raw.decode()


@given(texts)
@example("=?utf-8?q?=0D=0AX-Evil:_1?=")
@example("=?utf-8?B?DQpYLUV2aWw6IDE=?=")
@example("=?utf-7?Q?+AA0ACg-X:_1?=")
@example("=?utf-16?B?DQAKAA==?=")
@example("=?us-ascii?q?a=00b?=")
@example("=?unknown?q?=41?= =?utf-8?q?\n?=")
@example("=?utf-8?q?a?= =?utf-8?q?=0A?=")
def test_a_field_of_the_senders_hides_no_line_end(text: str) -> None:
    value = as_written("X-Own", text)
    assert_sound("X-Own", value)
    said = str(parsed(field("X-Own", value))["x-own"])
    assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]", said)


@pytest.mark.parametrize("text", ["=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "=?iso-8859-1?Q?Gr=FC=DFe?= an alle", "<a@b.c> <d@e.f>", "plain", "a  b"])
def test_a_sound_value_that_the_sender_encoded_stays(text: str) -> None:
    assert as_written("X-Own", text) == text.encode()


@given(texts, st.integers(0, 3000))
@example("日本語 0 0 0", 21)
def test_list_fields_are_never_encoded_words(text: str, length: int) -> None:
    value = uris("List-Unsubscribe", f"<https://example.com/{'x' * length}?{text}>, <mailto:a@example.com>")
    assert_sound("List-Unsubscribe", value)
    assert value.isascii()
    assert b"=?utf-8?B?" not in value or "=?utf-8?B?" in text


def test_a_list_field_stays_as_it_was() -> None:
    urls = ["<https://example.com/u?x=" + "y" * 200 + ">", "<mailto:u@example.com?subject=a%20b>"]
    assert uris("List-Unsubscribe", ", ".join(urls)).replace(b"\r\n", b"") == ", ".join(urls).encode()
    assert uris("List-Help", "<https://bücher.example/ä>") == b"<https://b%C3%BCcher.example/%C3%A4>"


@given(st.lists(some_mailboxes, min_size=1, max_size=5))
@example([Mailbox(Address("a", "b.c"), "Doe, John")])
@example([Mailbox(Address("a", "b.c"), "evil <x@y.z>, ")])
@example([Mailbox(Address("a", "b.c"), "a\r\nBcc: x@y.z")])
@example([Mailbox(Address("a", "b.c"), "=?utf-8?q?=2C?=")])
@example([Mailbox(Address("a", "b.c"), "x" * 1000)])
@example([Mailbox(Address("a", "b.c"), "John Q. Public")])
@example([Mailbox(Address("a", "b.c"), 'back\\slash "quoted"')])
def test_mailboxes_are_read_as_they_were_meant(boxes: list[Mailbox]) -> None:
    value = mailboxes("To", boxes)
    assert_sound("To", value)
    found: tuple[ParsedAddress, ...] = parsed(field("To", value))["to"].addresses
    assert [each.addr_spec for each in found] == [str(box.address) for box in boxes]
    names = getaddresses([value.decode().replace("\r\n", "")])  # the parser above keeps the blank between two encoded words
    assert [str(make_header(decode_header(name))) for name, _ in names] == [one_line(box.name) for box in boxes]


def test_names_are_written_as_people_write_them() -> None:
    address = Address("a", "b.c")
    assert mailboxes("To", [Mailbox(address)]) == b"a@b.c"
    assert mailboxes("To", [Mailbox(address, "John Doe")]) == b"John Doe <a@b.c>"
    assert mailboxes("To", [Mailbox(address, "Doe, John")]) == b'"Doe, John" <a@b.c>'
    assert mailboxes("To", [Mailbox(address, "Jörg")]) == b"=?utf-8?B?SsO2cmc=?= <a@b.c>"
    assert mailboxes("To", [Mailbox(Address("jörg", "b.c"), "J")]) == "J <jörg@b.c>".encode()


@given(st.lists(st.text("abc", min_size=1, max_size=120), min_size=1, max_size=20), st.lists(st.integers(1, 5), min_size=20, max_size=20))
def test_unfolding_gives_back_what_was_folded(parts: list[str], gaps: list[int]) -> None:
    value = parts[0] + "".join(" " * gap + part for gap, part in zip(gaps, parts[1:], strict=False))
    folded = fold("Subject", value)
    assert folded.replace(b"\r\n", b"").strip() == value.encode()
    assert_sound("Subject", folded)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=120))
def test_a_parameter_of_any_text_is_read_back(value: str) -> None:
    pieces = extended_parameter("filename", value)
    assert all(len(piece) <= 76 for piece in pieces)
    encoded = "".join(piece.partition("=")[2] for piece in pieces)
    assert unquote(decode_rfc2231(encoded)[2]) == value
    assert all(not re.search(r"%.?$", piece) for piece in pieces)


@given(st.datetimes(datetime(1990, 1, 1), datetime(2200, 1, 1), timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])))  # noqa: DTZ001
def test_a_date_is_that_instant(at: datetime) -> None:
    assert parsedate_to_datetime(date_value(at).decode()) == at.replace(microsecond=0)


@given(st.text(max_size=80))
def test_a_field_name_is_one_token(name: str) -> None:
    if is_field_name(name):
        assert parsed(f"{name}: x\r\n\r\n".encode()).keys() == [name]


@pytest.mark.parametrize("name", ["", "X Y", "X:Y", "X\r\nY", "X\tY", "Ü", "x" * 71, "X\0"])
def test_what_is_no_field_name_is_refused(name: str) -> None:
    assert not is_field_name(name)


def test_hostile_text_takes_no_long_time() -> None:
    hostile = ["=?utf-8?q?" * 30_000, "ü " * 100_000, " " * 10**6, "=?a?b?" + "?" * 10**5, "\r\n" * 10**5, '"' * 10**5]
    assert (
        timeit.timeit(
            lambda: [(unstructured("Subject", text), as_written("X-Own", text), uris("List-Help", text)) for text in hostile], number=1
        )
        < 5
    )
