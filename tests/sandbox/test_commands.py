import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.commands import greeting, mail_fault, read_command, read_path
from sandbox.zones import MODERN, SEVEN_BIT, Offers


@given(st.binary())
def test_any_line_is_read_or_none(line: bytes) -> None:
    command = read_command(line)
    if command:
        read_path(command.rest, "FROM")


@pytest.mark.parametrize(
    ("rest", "address"),
    [
        ("FROM:<a@b.test>", "a@b.test"),
        ("from:<>", ""),
        ('FROM:<"a>b"@c.test> SIZE=5', '"a>b"@c.test'),
        ("FROM:<é@b.test> SMTPUTF8", "é@b.test"),
    ],
)
def test_a_path_is_read(rest: str, address: str) -> None:
    path = read_path(rest, "FROM")
    assert path
    assert path.address == address


@pytest.mark.parametrize(
    "rest", ["FROM: <a@b.test>", "FROM:a@b.test", "FROM:<a@b.test", "TO:<a@b.test>", "FROM:<a@b.test>SIZE=5", "FROM:<a@b.test>  SIZE=5"]
)
def test_a_malformed_path_is_none(rest: str) -> None:
    assert read_path(rest, "FROM") is None


@pytest.mark.parametrize(
    ("rest", "offers", "code"),
    [
        ("FROM:<a@b.test> SIZE=100 BODY=8BITMIME", MODERN, ""),
        ("FROM:<a@b.test> BODY=8BITMIME", SEVEN_BIT, "555"),
        ("FROM:<a@b.test> SIZE=1001", MODERN, "552"),
        ("FROM:<é@b.test>", MODERN, "553"),
        ("FROM:<é@b.test> SMTPUTF8", MODERN, ""),
        ("FROM:<a> SIZE=1", MODERN, "501"),
        ("FROM:<a@b.test> SIZE=x", MODERN, "501"),
        ("FROM:<>", SEVEN_BIT, ""),
    ],
)
def test_mail_may_ask_only_for_what_is_offered(rest: str, offers: Offers, code: str) -> None:
    path = read_path(rest, "FROM")
    assert path
    assert (mail_fault(path, offers, 1000) or "")[:3] == code


def test_the_greeting_names_what_is_offered() -> None:
    assert greeting("mx", Offers(starttls=True), 5, in_tls=False).split("\r\n")[-1] == "250 STARTTLS"
    assert "STARTTLS" not in greeting("mx", Offers(starttls=True), 5, in_tls=True)
    assert not {"8BITMIME", "SMTPUTF8", "PIPELINING"} & set(
        greeting("mx", SEVEN_BIT, 5, in_tls=False).replace(" ", "-").replace("\r\n", "-").split("-")
    )
