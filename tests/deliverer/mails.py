"""Mails for the tests: any text where the API takes text, and the standard library's parser as the judge of what was written."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default

from hypothesis import settings
from hypothesis import strategies as st

from scaisend_common.mail.address import Address, Mailbox
from scaisend_common.messages import Attachment, Content, Head, Part
from scaisend_deliverer.compose import Composed
from scaisend_deliverer.extensions import Extensions

settings.register_profile("compose", deadline=None)
settings.load_profile("compose")

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
MESSAGE_ID = "<AZqwJ_V7cAGCAwQFBgcICQ.0.0@example.com>"
BARE = Extensions()
FULL = Extensions(eight_bit_mime=True, smtp_utf8=True)

NASTY = ["\r\nBcc: evil@example.org", "\r", "\n", "\r\n\r\n", "\0", "\u2028", "\x85", "\r\n.\r\nMAIL FROM:<>", ".", "From ", "=?utf-8?q?=0D=0AX-Evil:_1?=",
         "=?utf-8?B?DQpYLUV2aWw6IDE=?=", "%0d%0a", "\u202e", "é", "€", "😀", " ", "\t", "=", "?=", '"', "\\", "<", ">", ",", ";", "(", "--=_", "\x7f"]  # fmt: skip
nasty_texts = st.lists(st.sampled_from(NASTY) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=12).map("".join)
words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30)
plain_texts = st.lists(words | st.sampled_from(["größer", "日本語", "😀😀"]), max_size=12).map(" ".join)
texts = nasty_texts | plain_texts
bodies = st.lists(texts, max_size=20).map("\n".join)

addresses = st.builds(
    Address,
    st.from_regex(r"[a-z0-9]{1,12}(\.[a-z0-9]{1,8})?", fullmatch=True) | st.sampled_from(['"a@b"', '"a\\"b"', '"x,y"']),
    st.sampled_from(["example.com", "mail.example.org", "xn--bcher-kva.example", "very.long.host.name.of.a.company.example.net"]),
)
mailboxes = st.builds(Mailbox, addresses, texts)
media_types = st.sampled_from(
    ["image/png", "application/pdf", "text/calendar; method=REQUEST", "text/plain; charset=iso-8859-1", "nonsense", "a/b\r\nX: y"]
)
attachments = st.builds(
    Attachment, st.binary(max_size=300), texts, media_types | texts, st.booleans(), st.just("") | st.just("logo@1") | texts
)
extra_headers = st.dictionaries(
    st.sampled_from(["X-One", "X-Two", "List-Unsubscribe", "References", "Bcc", "x-sg-eid", "Date"]) | texts, texts, max_size=4
)


@st.composite
def contents(draw: st.DrawFn) -> Content:
    """Contents of one to four texts, and attachments."""
    kinds = draw(
        st.lists(st.sampled_from(["text/plain", "text/html", "text/x-amp-html", "text/calendar; method=REQUEST"]), min_size=1, unique=True)
    )
    return Content(tuple(Part(kind, draw(bodies)) for kind in kinds), tuple(draw(st.lists(attachments, max_size=3))))


heads = st.builds(
    Head,
    sender=mailboxes,
    to=st.lists(mailboxes, min_size=1, max_size=4).map(tuple),
    cc=st.lists(mailboxes, max_size=2).map(tuple),
    reply_to=st.lists(mailboxes, max_size=2).map(tuple),
    subject=texts,
    headers=extra_headers,
    substitutions=st.dictionaries(st.sampled_from(["-name-", "%x%", " ", ""]), texts, max_size=2),
)


def one_line(text: str) -> str:
    """A text as a header field can say it: no control characters, no blanks at its ends."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", text).strip(" ")


def lf(text: str) -> str:
    """A text with LF for every line end."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parsed(wire: bytes) -> EmailMessage:
    """What the standard library makes of a mail."""
    return BytesParser(policy=default).parsebytes(wire)


def has_bare_cr_or_lf(wire: bytes) -> bool:
    """Whether there is a CR without its LF, or an LF without its CR (RFC 5321 2.3.8)."""
    rest = wire.replace(b"\r\n", b"")
    return b"\r" in rest or b"\n" in rest


def composed(result: object) -> Composed:
    """The mail, where composing must have worked."""
    assert isinstance(result, Composed)
    return result
