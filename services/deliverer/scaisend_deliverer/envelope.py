"""The envelope of a mail, and the commands that say it (RFC 5321 4.1.1.2 and 4.1.1.3, RFC 1870, RFC 6152, RFC 6531). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from stringzilla import find

from scaisend_deliverer.offer import Offer


@dataclass(frozen=True, slots=True)
class Envelope:
    """One recipient: the reverse-path names the delivery. `needs_…`: what the mail was composed with."""

    reverse_path: str
    forward_path: str
    needs_8bit_mime: bool = False
    needs_smtp_utf8: bool = False


def mail_command(envelope: Envelope, size: int, offer: Offer) -> bytes:
    """Return MAIL FROM with the parameters that the server offered and the mail needs."""
    parameters = f" SIZE={size}" if offer.has_size else ""
    if envelope.needs_8bit_mime and offer.extensions.eight_bit_mime:
        parameters += " BODY=8BITMIME"
    if envelope.needs_smtp_utf8 and offer.extensions.smtp_utf8:
        parameters += " SMTPUTF8"
    return f"MAIL FROM:<{envelope.reverse_path}>{parameters}\r\n".encode()


def rcpt_command(envelope: Envelope) -> bytes:
    """Return RCPT TO."""
    return f"RCPT TO:<{envelope.forward_path}>\r\n".encode()


def stuffed(lines: bytes) -> bytes:
    """Return lines of a mail, at least one, as they go after 354: leading dots doubled, CRLF at their end (RFC 5321 4.5.2, 4.1.1.4)."""
    content = lines.replace(b"\r\n.", b"\r\n..") if find(lines, b"\r\n.") >= 0 else lines
    if content.startswith(b"."):
        content = b"." + content
    return content if content.endswith(b"\r\n") else content + b"\r\n"
