"""What a server offers that changes how a mail is written (RFC 6152, RFC 6531): as it said after EHLO, on this connection, after TLS."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Extensions:
    """Both false for a server that said nothing but HELO."""

    eight_bit_mime: bool = False
    smtp_utf8: bool = False
