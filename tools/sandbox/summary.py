"""How a mail is shown: the JSON of the inbox, and the parts that a page displays. Parsed by the standard library."""

from __future__ import annotations

from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import EmailMessage, MIMEPart
from email.parser import HeaderParser
from email.policy import default

import msgspec

from sandbox.mail import Mail
from sandbox.names import Names
from sandbox.verification import dkim_verdict


class EnvelopeView(msgspec.Struct, frozen=True):
    """What was said over SMTP."""

    from_: str = msgspec.field(name="from")
    to: tuple[str, ...]
    helo: str
    mx: str
    address: str
    peer: str
    session: str


class Summary(msgspec.Struct, frozen=True):
    """A mail in `GET /messages`: headers decoded, time in unix seconds, `dkim` pass, fail or none."""

    id: str
    from_: str = msgspec.field(name="from")
    to: str
    cc: str
    subject: str
    message_id: str
    received_at: float
    tls: bool
    dkim: str
    dkim_domain: str
    size: int
    envelope: EnvelopeView


def summarize(mail_id: str, mail: Mail, names: Names) -> Summary:
    """Return what the inbox says of a mail; verifies its signatures."""
    header = HeaderParser().parsestr(mail.header.decode("utf-8", "replace"))
    verdict, domain = dkim_verdict(mail.content, names)
    return Summary(
        id=mail_id,
        from_=_words(header.get("From", "")),
        to=_words(header.get("To", "")),
        cc=_words(header.get("Cc", "")),
        subject=_words(header.get("Subject", "")),
        message_id=mail.message_id,
        received_at=mail.received_at,
        tls=mail.tls,
        dkim=verdict,
        dkim_domain=domain,
        size=len(mail.content),
        envelope=EnvelopeView(mail.reverse_path, mail.forward_paths, mail.helo, mail.host.name, mail.host.address, mail.peer, mail.session),
    )


class Attachment(msgspec.Struct, frozen=True):
    """A part that a page only names."""

    name: str
    media_type: str
    octets: int


class Content(msgspec.Struct, frozen=True):
    """The parts that a page shows; empty where there is none."""

    text: str
    html: str
    attachments: tuple[Attachment, ...]


def content_of(mail: Mail) -> Content:
    """Return the readable parts of a mail."""
    message = message_from_bytes(mail.content, policy=default)
    assert isinstance(message, EmailMessage)
    return Content(
        _body(message, "plain"),
        _body(message, "html"),
        tuple(
            Attachment(part.get_filename() or "(unnamed)", part.get_content_type(), len(_decoded(part)))
            for part in message.iter_attachments()
        ),
    )


def _body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return _decoded(part).decode(part.get_content_charset() or "utf-8", "replace") if part else ""


def _decoded(part: MIMEPart) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _words(value: str) -> str:
    unfolded = " ".join(str(value).split())
    try:
        return str(make_header(decode_header(unfolded)))
    except (HeaderParseError, LookupError, UnicodeDecodeError):
        return unfolded
