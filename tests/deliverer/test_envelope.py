"""Commands and dots."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scaisend_deliverer.envelope import Envelope, mail_command, rcpt_command, stuffed
from scaisend_deliverer.extensions import Extensions
from scaisend_deliverer.offer import NOTHING, Offer, read_offer

lines = st.lists(st.sampled_from([b"", b".", b"..", b".a", b"a.", b"a", b". .", b"From x"]), max_size=30)


def unstuffed(content: bytes) -> bytes:
    """What a server makes of it (RFC 5321 4.5.2)."""
    assert content.endswith(b"\r\n")
    received = content.split(b"\r\n")[:-1]
    assert b"." not in received
    return b"".join(line.removeprefix(b".") + b"\r\n" for line in received)


@given(lines, lines)
def test_what_is_stuffed_is_received_as_it_was(header: list[bytes], body: list[bytes]) -> None:
    wire = [b"\r\n".join([*part, b""]) for part in ([*header, b""], [b".", *body])]
    assert unstuffed(b"".join(map(stuffed, wire))) == b"".join(wire)


@given(lines)
def test_a_last_line_without_end_gets_one(parts: list[bytes]) -> None:
    wire = b"\r\n".join([*parts, b"end"])
    assert unstuffed(stuffed(wire)) == wire + b"\r\n"


def test_a_first_line_with_a_dot_is_stuffed_too() -> None:
    assert stuffed(b".x\r\n") == b"..x\r\n"


@given(st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.booleans())
def test_parameters_are_used_only_where_offered(eight: bool, utf8: bool, size: bool, needs_eight: bool, needs_utf8: bool) -> None:
    offer = Offer(Extensions(eight, utf8), has_size=size)
    command = mail_command(Envelope("b@x.test", "a@y.test", needs_eight, needs_utf8), 4711, offer)
    assert (b"BODY=8BITMIME" in command) == (eight and needs_eight)
    assert (b"SMTPUTF8" in command) == (utf8 and needs_utf8)
    assert (b"SIZE=4711" in command) == size
    assert command.startswith(b"MAIL FROM:<b@x.test>")
    assert command.count(b"\r\n") == 1


def test_the_recipient_is_said_as_it_is() -> None:
    assert rcpt_command(Envelope("b@x.test", '"a b"@y.test')) == b'RCPT TO:<"a b"@y.test>\r\n'


def test_an_offer_is_read_without_regard_to_case() -> None:
    offer = read_offer(
        [b"250-mx.test hello PIPELINING", b"250-size 1000", b"250-8BitMime", b"250-smtputf8", b"250-STARTTLS", b"250 PIPELINING"]
    )
    assert offer == Offer(Extensions(True, True), pipelining=True, starttls=True, has_size=True, size=1000)
    assert read_offer([b"250 mx.test PIPELINING"]) == NOTHING  # the first line is a greeting
    assert read_offer([b"250-mx", b"250-SIZE", b"250 "]) == Offer(has_size=True)
    assert read_offer([b"250-mx", b"250 SIZE nonsense"]) == Offer(has_size=True)
