import random
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.deliverer.mails import BARE, FULL, MESSAGE_ID, NASTY, NOW, composed, contents, has_bare_cr_or_lf, heads, one_line, parsed, texts

from scaisend_common.mail.address import Address, Mailbox
from scaisend_common.messages import Attachment, Content, Head, Part
from scaisend_deliverer.compose import RESERVED, CannotCompose, Extensions, compose, compose_message
from scaisend_deliverer.compose_body import compose_body
from scaisend_deliverer.headers import is_field_name

HELLO = Content((Part("text/plain", "Hello"),))
SHOP, JO = Mailbox(Address("shop", "example.com"), "Shop"), Mailbox(Address("jo", "example.org"))


def head_of(**fields: object) -> Head:
    return Head(**({"sender": SHOP, "to": (JO,), "subject": "Your order"} | fields))  # type: ignore[arg-type]


def expected_names(head: Head) -> list[str]:
    own = {}
    for name in head.headers:
        if is_field_name(name) and name.lower() not in RESERVED and not name.lower().startswith(("content-", "arc-", "resent-")):
            own[name.lower()] = name
    return [
        *("From", "To"),
        *(["Cc"] if head.cc else []),
        *(["Reply-To"] if head.reply_to else []),
        *("Subject", "Date", "Message-ID", "MIME-Version"),
        *own.values(),
        "Content-Type",
    ]


@given(heads, contents())
def test_a_mail_has_exactly_the_fields_it_should_whatever_the_texts_hold(head: Head, content: Content) -> None:
    wire = b"".join(composed(compose(head, content, BARE, message_id=MESSAGE_ID, date=NOW)).wire())
    names = parsed(wire).keys()
    assert [name for name in names if name != "Content-Transfer-Encoding"] == expected_names(head)


@given(heads, contents())
def test_the_octets_are_what_smtp_carries(head: Head, content: Content) -> None:
    wire = b"".join(composed(compose(head, content, BARE, message_id=MESSAGE_ID, date=NOW)).wire())
    assert wire.isascii()
    assert wire.endswith(b"\r\n")
    assert not has_bare_cr_or_lf(wire)
    assert b"\0" not in wire
    assert all(len(line) <= 998 for line in wire.split(b"\r\n"))


@given(heads)
def test_the_head_says_what_was_meant(head: Head) -> None:
    plain = Head(sender=head.sender, to=head.to, cc=head.cc, reply_to=head.reply_to, subject=head.subject)
    message = parsed(b"".join(composed(compose(plain, HELLO, BARE, message_id=MESSAGE_ID, date=NOW)).wire()))
    assert str(message["subject"]) == one_line(head.subject)
    for field, boxes in (("from", (head.sender,)), ("to", head.to), ("cc", head.cc), ("reply-to", head.reply_to)):
        assert [each.addr_spec for each in (message[field].addresses if boxes else ())] == [str(box.address) for box in boxes]
    assert message["message-id"] == MESSAGE_ID
    assert parsedate_to_datetime(message["date"]) == NOW


@given(heads, contents(), st.sampled_from([BARE, FULL]))
def test_the_same_arguments_give_the_same_octets_and_a_shared_body_the_same_mail(head: Head, content: Content, offered: Extensions) -> None:
    once = compose(head, content, offered, message_id=MESSAGE_ID, date=NOW)
    assert once == compose(head, content, offered, message_id=MESSAGE_ID, date=NOW)
    assert once == compose_message(head, compose_body(content, head.substitutions, offered), offered, message_id=MESSAGE_ID, date=NOW)


def test_a_hundred_thousand_random_mails_smuggle_nothing() -> None:
    """Every text of a mail over an alphabet of line ends, dots, NUL, 8-bit and commands (reliable only in such numbers)."""
    dice = random.Random(20261123)
    alphabet = [*NASTY, "\r", "\n", "\r\n", ".", "\r\n.\r\n", "\n.\n", "\0", "\x80", "ÿ", "MAIL FROM:<>", "a", " "]
    pool = ["".join(dice.choices(alphabet, k=dice.randrange(12))) for _ in range(5000)]
    names = {
        name: ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", *name, "Content-Type", "Content-Transfer-Encoding"]
        for name in [(), ("X-Own",)]
    }
    for number in range(100_000):
        a, b, c, d = dice.choices(pool, k=4)
        own = {"X-Own": d} if number % 3 else {}
        head = Head(sender=Mailbox(SHOP.address, a), to=(Mailbox(JO.address, b),), subject=c, headers=own)
        mail = composed(compose(head, Content((Part("text/plain", d),)), BARE, message_id=MESSAGE_ID, date=NOW))
        wire = b"".join(mail.wire())
        assert not has_bare_cr_or_lf(wire), (a, b, c, d)
        assert wire.isascii()
        assert re.findall(r"^([^\s:]+):", wire.partition(b"\r\n\r\n")[0].decode(), re.MULTILINE) == names[tuple(own)]


@given(texts, texts)
@example("Bcc", "x@example.org")
@example("bcc", "x@example.org")
@example("X-A: b\r\nBcc", "x@example.org")
def test_no_field_of_the_senders_shows_or_adds_a_bcc(name: str, value: str) -> None:
    message = parsed(b"".join(composed(compose(head_of(headers={name: value}), HELLO, BARE, message_id=MESSAGE_ID, date=NOW)).wire()))
    assert "bcc" not in message


@pytest.mark.parametrize(
    "name",
    [
        *("From", "FROM", "To", "Cc", "Bcc", "Reply-To", "Subject", "Sender", "Date", "Message-Id", "MIME-Version", "Content-Type"),
        *("Content-Transfer-Encoding", "Content-Disposition", "DKIM-Signature", "Received", "Return-Path", "ARC-Seal", "Resent-From"),
        *("Authentication-Results", "x-sg-id", "X-SG-EID", "", "X Y", "X:", "Ü"),
    ],
)
def test_a_field_that_is_ours_is_never_overridden(name: str) -> None:
    with_it = compose(head_of(headers={name: "evil", "X-Own": "kept"}), HELLO, BARE, message_id=MESSAGE_ID, date=NOW)
    assert with_it == compose(head_of(headers={"X-Own": "kept"}), HELLO, BARE, message_id=MESSAGE_ID, date=NOW)


def test_names_that_differ_in_case_are_one_field() -> None:
    message = parsed(
        b"".join(composed(compose(head_of(headers={"X-Own": "1", "x-own": "2"}), HELLO, BARE, message_id=MESSAGE_ID, date=NOW)).wire())
    )
    assert message.get_all("X-Own") == ["2"]


def test_list_unsubscribe_is_carried_as_it_is() -> None:
    unsubscribe = "<https://example.com/unsubscribe?token=" + "x" * 150 + ">, <mailto:u@example.com?subject=Unsubscribe>"
    own = {"List-Unsubscribe": unsubscribe, "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    wire = b"".join(composed(compose(head_of(headers=own), HELLO, BARE, message_id=MESSAGE_ID, date=NOW)).wire())
    message = parsed(wire)
    assert (message["list-unsubscribe"], message["list-unsubscribe-post"]) == (unsubscribe, "List-Unsubscribe=One-Click")
    assert unsubscribe.encode() in wire.replace(b"\r\n ", b" ")


def test_an_address_that_is_not_ascii_needs_smtputf8() -> None:
    jorg = Mailbox(Address("jörg", "xn--bcher-kva.example"), "Jörg")
    for fields in ({"to": (JO, jorg)}, {"cc": (jorg,)}, {"sender": jorg}, {"reply_to": (jorg,)}):
        refused = compose(head_of(**fields), HELLO, BARE, message_id=MESSAGE_ID, date=NOW)
        assert isinstance(refused, CannotCompose)
        assert refused.status == "5.6.7"
        mail = composed(compose(head_of(**fields), HELLO, FULL, message_id=MESSAGE_ID, date=NOW))
        assert mail.needs_smtp_utf8
        assert "<jörg@xn--bcher-kva.example>".encode() in mail.header_block()
    assert not composed(compose(head_of(), HELLO, FULL, message_id=MESSAGE_ID, date=NOW)).needs_smtp_utf8
    becomes_one = head_of(reply_to=(Mailbox(Address("-rep-", "example.com")),), substitutions={"-rep-": "jörg"})
    assert isinstance(compose(becomes_one, HELLO, BARE, message_id=MESSAGE_ID, date=NOW), CannotCompose)


def test_a_name_or_a_subject_that_is_not_ascii_needs_no_extension() -> None:
    mail = composed(compose(head_of(to=(Mailbox(JO.address, "Jörg"),), subject="Grüße"), HELLO, BARE, message_id=MESSAGE_ID, date=NOW))
    assert b"".join(mail.wire()).isascii()
    assert not mail.needs_smtp_utf8


def test_only_an_attached_message_makes_a_mail_eight_bit() -> None:
    eml = Attachment("Subject: ä\r\n\r\nb\r\n".encode(), "a.eml", "message/rfc822")
    content = Content((Part("text/plain", "ä"),), (eml,))
    assert composed(compose(head_of(), content, FULL, message_id=MESSAGE_ID, date=NOW)).needs_8bit_mime
    assert not composed(compose(head_of(), content, BARE, message_id=MESSAGE_ID, date=NOW)).needs_8bit_mime
    assert not composed(compose(head_of(), HELLO, FULL, message_id=MESSAGE_ID, date=NOW)).needs_8bit_mime


def test_substitutions_reach_subject_texts_and_reply_to() -> None:
    content = Content((Part("text/plain", "Dear -name-"), Part("text/html", "<p>Dear -name-")))
    reply_to = (
        Mailbox(Address("help", "example.com"), "Help of -name-"),
        Mailbox(Address("-rep-", "example.com")),
        Mailbox(Address("%x%", "b.c")),
    )
    head = head_of(
        subject="For -name-",
        reply_to=reply_to,
        headers={"X-Own": "-name-"},
        substitutions={"-name-": "Jo", "-rep-": "agent", "%x%": "no address"},
    )
    message = parsed(b"".join(composed(compose(head, content, BARE, message_id=MESSAGE_ID, date=NOW)).wire()))
    assert message["subject"] == "For Jo"
    assert [str(each) for each in message["reply-to"].addresses] == ["Help of Jo <help@example.com>", "agent@example.com", "%x%@b.c"]
    assert [part.get_content() for part in message.iter_parts()] == ["Dear Jo", "<p>Dear Jo"]
    assert message["x-own"] == "-name-"


def test_a_mail_is_written_as_expected() -> None:
    mail = composed(compose(head_of(cc=(JO,)), HELLO, BARE, message_id=MESSAGE_ID, date=datetime(2026, 11, 3, 1, 2, 3, tzinfo=UTC)))
    assert b"".join(mail.wire(b"DKIM-Signature: x\r\n")).decode() == (
        "DKIM-Signature: x\r\n"
        "From: Shop <shop@example.com>\r\n"
        "To: jo@example.org\r\n"
        "Cc: jo@example.org\r\n"
        "Subject: Your order\r\n"
        "Date: Tue, 03 Nov 2026 01:02:03 +0000\r\n"
        f"Message-ID: {MESSAGE_ID}\r\n"
        "MIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: 7bit\r\n"
        "\r\n"
        "Hello\r\n"
    )


@pytest.mark.parametrize("message_id", ["", "a@b", "<a@b>\r\nBcc: x@y.z", "<a b@c>", "<ä@b>", "<<a@b>>"])
def test_what_is_no_message_id_is_refused(message_id: str) -> None:
    with pytest.raises(ValueError, match="no Message-ID"):
        compose(head_of(), HELLO, BARE, message_id=message_id, date=NOW)
