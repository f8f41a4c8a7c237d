"""What a server offers after EHLO (RFC 5321 4.1.1.1). Pure.

Only what was said on this connection, after TLS where there is TLS, may be used (RFC 3207 4.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from scaisend_deliverer.extensions import Extensions


@dataclass(frozen=True, slots=True)
class Offer:
    """`size` is the largest mail that the server takes, in octets; 0 where it named none (RFC 1870 4)."""

    extensions: Extensions = field(default_factory=Extensions)
    pipelining: bool = False
    starttls: bool = False
    has_size: bool = False
    size: int = 0


NOTHING = Offer()  # a server that knows only HELO


def read_offer(lines: Sequence[bytes]) -> Offer:
    """Return what the lines of a 250 answer to EHLO offer; the first one is only a greeting."""
    offered = {words[0]: words[1:] for line in lines[1:] if (words := line[4:].upper().split())}
    size = offered.get(b"SIZE", [])
    return Offer(
        extensions=Extensions(eight_bit_mime=b"8BITMIME" in offered, smtp_utf8=b"SMTPUTF8" in offered),
        pipelining=b"PIPELINING" in offered,
        starttls=b"STARTTLS" in offered,
        has_size=b"SIZE" in offered,
        size=int(size[0]) if size and size[0].isdigit() and len(size[0]) <= 20 else 0,
    )
