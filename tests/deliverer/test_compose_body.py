import random
import re
from binascii import a2b_base64
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.deliverer.mails import BARE, FULL, bodies, contents, has_bare_cr_or_lf, lf, parsed, texts

from scaisend_common.messages import Attachment, Content, Part
from scaisend_deliverer.compose_body import Body, compose_body
from scaisend_deliverer.compose_part import Entity, media_type_of
from scaisend_deliverer.substitution import substitute

PLAIN, HTML, AMP = Part("text/plain", "Hello"), Part("text/html", "<p>Hello"), Part("text/x-amp-html", "<html ⚡4email>")
LOGO = Attachment(b"\x89PNG", "logo.png", "image/png", inline=True, content_id="logo")
TERMS = Attachment(b"%PDF", "terms.pdf", "application/pdf")


def read(body: Body) -> EmailMessage:
    return parsed(b"MIME-Version: 1.0\r\n" + Entity(body.fields, b"").header_block + b"\r\n" + body.content)


def leaves(message: EmailMessage) -> list[EmailMessage]:
    return [part for part in message.walk() if isinstance(part, EmailMessage) and not part.is_multipart()]


def shape(message: EmailMessage) -> object:
    """The tree of media types."""
    kind = message.get_content_type()
    return (kind, *(shape(part) for part in message.iter_parts() if isinstance(part, EmailMessage))) if message.is_multipart() else kind


def text_of(part: EmailMessage) -> str:
    raw = part.get_payload(decode=True)
    assert isinstance(raw, bytes)
    return raw.decode().replace("\r\n", "\n")


@given(contents())
def test_texts_come_back_as_they_were_sent(content: Content) -> None:
    message = read(compose_body(content, {}, BARE))
    found = {part.get_content_type(): text_of(part) for part in leaves(message) if part.get_content_disposition() is None}
    wanted = {media_type_of(part.media_type): lf(part.text) for part in content.parts}
    if len(content.parts) == 1 and not content.attachments:  # the mail itself ends with a line end
        found, wanted = ({kind: text.removesuffix("\n") for kind, text in texts_.items()} for texts_ in (found, wanted))
    assert found == wanted


@given(contents())
def test_attachments_come_back_bit_for_bit(content: Content) -> None:
    message = read(compose_body(content, {}, BARE))
    found = [part.get_payload(decode=True) for part in leaves(message) if part.get_content_disposition() is not None]
    assert sorted(map(repr, found)) == sorted(repr(attachment.content) for attachment in content.attachments)


@given(contents())
def test_a_body_is_seven_bit_in_lines_that_smtp_carries(content: Content) -> None:
    body = compose_body(content, {}, BARE)
    assert body.content.isascii()
    assert body.content.endswith(b"\r\n")
    assert not has_bare_cr_or_lf(body.content)
    assert all(len(line) <= 998 for line in body.content.split(b"\r\n"))


@given(contents())
def test_nothing_in_a_body_is_broken_mime(content: Content) -> None:
    message = read(compose_body(content, {}, FULL))
    for part in message.walk():
        assert part.defects == []
        for value in part.values():
            assert [defect for defect in getattr(value, "defects", ()) if "continuation" in str(defect)] == []
        assert set(part.keys()) <= {"MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-Disposition", "Content-ID"}


@given(contents())
def test_the_same_content_gives_the_same_octets(content: Content) -> None:
    assert compose_body(content, {}, BARE) == compose_body(content, {}, BARE)


@pytest.mark.parametrize(
    ("content", "tree"),
    [
        (Content(()), "text/plain"),
        (Content((PLAIN,)), "text/plain"),
        (Content((HTML,)), "text/html"),
        (Content((PLAIN, HTML)), ("multipart/alternative", "text/plain", "text/html")),
        (Content((HTML, PLAIN)), ("multipart/alternative", "text/plain", "text/html")),
        (Content((PLAIN, HTML, AMP)), ("multipart/alternative", "text/plain", "text/x-amp-html", "text/html")),
        (Content((PLAIN, HTML, Part("text/calendar", "X"))), ("multipart/alternative", "text/plain", "text/html", "text/calendar")),
        (Content((PLAIN,), (TERMS,)), ("multipart/mixed", "text/plain", "application/pdf")),
        (Content((HTML,), (LOGO,)), ("multipart/related", "text/html", "image/png")),
        (
            Content((PLAIN, HTML), (LOGO, TERMS)),
            (
                "multipart/mixed",
                ("multipart/alternative", "text/plain", ("multipart/related", "text/html", "image/png")),
                "application/pdf",
            ),
        ),
        (Content((PLAIN,), (LOGO,)), ("multipart/mixed", "text/plain", "image/png")),
        (Content((Part("multipart/mixed", "x"),)), "application/octet-stream"),
        (Content((Part("rubbish", "x"),)), "application/octet-stream"),
    ],
)
def test_the_tree_of_parts(content: Content, tree: object) -> None:
    assert shape(read(compose_body(content, {}, BARE))) == tree


def test_an_inline_image_is_found_by_its_content_id() -> None:
    related = read(compose_body(Content((HTML,), (LOGO,)), {}, BARE))
    image = leaves(related)[1]
    assert related.get_param("type") == "text/html"
    assert (image["content-id"], image.get_content_disposition(), image.get_filename()) == ("<logo>", "inline", "logo.png")


@given(texts)
def test_a_file_name_is_read_back_without_what_could_deceive(name: str) -> None:
    message = read(compose_body(Content((PLAIN,), (Attachment(b"x", name),)), {}, BARE))
    found = leaves(message)[1]["content-disposition"].params.get("filename", "").strip()  # get_filename() takes quotes away twice
    assert found == re.sub(r"[\x00-\x1f\x7f-\x9f/\\\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]", "_", name).strip()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("report.pdf", "report.pdf"),
        ("Übersicht für 2026.pdf", "Übersicht für 2026.pdf"),
        ('a "quoted" \\ name.txt', 'a "quoted" _ name.txt'),
        ("日本語" * 40 + ".pdf", "日本語" * 40 + ".pdf"),
        ("x" * 190 + ".txt", "x" * 190 + ".txt"),
        ("x" * 500 + ".txt", "x" * 500 + ".txt"),
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("evil\u202efdp.exe", "evil_fdp.exe"),
        ("a\r\nX-Evil: 1", "a__X-Evil: 1"),
        ("semi;colon=x.txt", "semi;colon=x.txt"),
        ("=?utf-8?q?=0D=0AX-Evil:_1?=", "=?utf-8?q?=0D=0AX-Evil:_1?="),
    ],
)
def test_file_names_as_they_are_found(name: str, found: str) -> None:
    body = compose_body(Content((PLAIN,), (Attachment(b"x", name),)), {}, BARE)
    assert leaves(read(body))[1].get_filename() == found


def test_a_reader_of_ascii_alone_gets_a_name_too() -> None:
    body = compose_body(Content((PLAIN,), (Attachment(b"x", "Größe.pdf", "application/pdf"),)), {}, BARE)
    assert b'filename="Gr__e.pdf"' in body.content
    assert b"filename*=UTF-8''Gr%C3%B6%C3%9Fe.pdf" in body.content


def test_parameters_of_a_type_are_kept_and_the_charset_is_ours() -> None:
    invitation = read(compose_body(Content((Part('text/calendar; method=REQUEST; charset="latin1"', "BEGIN:VCALENDAR ä"),)), {}, BARE))
    assert (invitation.get_param("method"), invitation.get_content_charset()) == ("REQUEST", "utf-8")
    file = leaves(read(compose_body(Content((PLAIN,), (Attachment(b"x", "a.ics", "text/calendar; method=CANCEL; name=b"),)), {}, BARE)))[1]
    assert (file.get_param("method"), file.get_param("name")) == ("CANCEL", "a.ics")


def test_a_message_is_attached_unencoded_or_as_mere_octets() -> None:
    seven, eight, odd = b"Subject: a\r\n\r\nb\r\n", "Subject: ä\r\n\r\nb\r\n".encode(), b"Subject: a\n\nb"
    for raw, extensions, kind, encoding in [
        (seven, BARE, b"message/rfc822", b"7bit"),
        (eight, BARE, b"application/octet-stream", b"base64"),
        (eight, FULL, b"message/rfc822", b"8bit"),
        (odd, FULL, b"application/octet-stream", b"base64"),
    ]:
        body = compose_body(Content((PLAIN,), (Attachment(raw, "a.eml", "message/rfc822"),)), {}, extensions)
        assert b"\r\nContent-Type: " + kind + b'; name="a.eml"\r\nContent-Transfer-Encoding: ' + encoding in body.content
        assert raw in body.content or encoding == b"base64"


@given(bodies, st.dictionaries(st.sampled_from(["-name-", "%x%"]), texts, max_size=2))
def test_substitutions_are_made_in_every_text(text: str, substitutions: dict[str, str]) -> None:
    def both(each: str) -> Content:
        return Content((Part("text/plain", each), Part("text/html", each)))

    assert compose_body(both(text), substitutions, BARE) == compose_body(both(substitute(text, substitutions)), {}, BARE)


def test_a_boundary_occurs_in_no_part() -> None:
    content = Content((PLAIN, HTML))
    first = compose_body(content, {}, BARE)
    boundary = first.fields[0][1].split(b'"')[1].decode()
    quoting = Content((Part("text/plain", f"Hello\n--{boundary}\nContent-Type: text/html\n\nevil\n--{boundary}--"), HTML))
    assert shape(read(compose_body(quoting, {}, BARE))) == ("multipart/alternative", "text/plain", "text/html")
    attached = Attachment(first.content, "a.eml", "message/rfc822")
    assert shape(read(compose_body(Content((PLAIN, HTML), (attached,)), {}, BARE)))


def test_twenty_two_megabytes_arrive_bit_for_bit() -> None:
    raw = random.Random(3).randbytes(22_000_000)
    body = compose_body(Content((PLAIN,), (Attachment(raw, "big.bin"),)), {}, BARE)
    encoded = body.content.split(b"\r\n\r\n")[2]
    assert b"\r\n--" in encoded
    assert body.content.count(b"\r\n") < 22_000_000 // 57 + 30
    assert a2b_base64(encoded.partition(b"\r\n--")[0]) == raw
