from __future__ import annotations

from email.message import EmailMessage
from email.policy import SMTP
from time import perf_counter

from hypothesis import given
from hypothesis import strategies as st

from scaisend_bounce_inbound.mime import MAX_PARTS, field_groups, leaves, parse
from scaisend_bounce_inbound.report import read_report

WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)


@given(st.binary(max_size=3000))
def test_any_bytes_are_read_without_an_error(mail: bytes) -> None:
    entity = parse(mail)
    assert sum(1 for _ in leaves(entity)) <= MAX_PARTS
    read_report(mail)


@given(st.lists(WORDS, min_size=1, max_size=5))
def test_parts_written_by_another_library_are_found(texts: list[str]) -> None:
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = "x"
    mail.set_content(texts[0])
    for text in texts[1:]:
        mail.add_attachment(text)
    found = [part.text.strip() for part in leaves(parse(bytes(mail)))]
    assert found == [text.strip() for text in texts]


def test_a_mail_of_a_thousand_levels_costs_little() -> None:
    mail = b"".join(b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (i, i) for i in range(1000))
    begun = perf_counter()
    read_report(mail)
    assert perf_counter() - begun < 1


def test_a_hundred_thousand_parts_cost_little() -> None:
    mail = b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n' + b"--b\r\n\r\nx\r\n" * 100_000
    begun = perf_counter()
    read_report(mail)
    assert perf_counter() - begun < 1


def test_the_first_of_a_repeated_field_wins() -> None:
    assert field_groups("Status: 5.1.1\r\nStatus: 2.0.0\r\n\r\nAction: failed\r\n") == [{"status": "5.1.1"}, {"action": "failed"}]


def test_a_folded_header_is_one_line() -> None:
    assert parse(b"Subject: a\r\n b\r\n\tc\r\n\r\n").header("subject") == "a b c"
