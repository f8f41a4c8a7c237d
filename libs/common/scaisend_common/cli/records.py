"""The DNS records that a sender domain has to publish, and what is found of them.

STANDARDS: RFC 6376 3.6 (DKIM), RFC 7208 (SPF, for the return path host: it is the domain of MAIL FROM), RFC 7489 (DMARC), RFC 1035 3.3.14
(a TXT record is strings of 255 octets at most).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

CHALLENGE_LABEL = "_scaisend"
CHALLENGE_FORM = "scaisend-verification="
STRING_OCTETS = 255


@dataclass(frozen=True, slots=True)
class DkimKey:
    """A selector and the public key, as the p= value."""

    selector: str
    public_key: str


@dataclass(frozen=True, slots=True)
class SenderDomain:
    """A domain as the tables know it."""

    domain: str
    challenge: str
    return_path_host: str
    dkim: tuple[DkimKey, ...]
    is_verified: bool


@dataclass(frozen=True, slots=True)
class Record:
    """One record; `name` and hosts without the final dot; `why` says what it is for; `required` for verification."""

    kind: str
    name: str
    value: str
    why: str
    required: bool = False

    def zone_line(self) -> str:
        """Return the record as a line of a zone file."""
        if self.kind != "TXT":
            return f"{self.name}. IN {self.kind} {self.value}"
        strings = [self.value[at : at + STRING_OCTETS] for at in range(0, len(self.value), STRING_OCTETS)]
        return f"{self.name}. IN TXT " + " ".join('"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"' for text in strings)


def challenge_record(domain: SenderDomain) -> Record:
    """Return the record that proves who owns the domain."""
    return Record(
        "TXT", f"{CHALLENGE_LABEL}.{domain.domain}", CHALLENGE_FORM + domain.challenge, "proves that the domain is yours", required=True
    )


def dkim_record(domain: SenderDomain, key: DkimKey) -> Record:
    """Return the record under which receivers find a DKIM key."""
    return Record(
        "TXT",
        f"{key.selector}._domainkey.{domain.domain}",
        f"v=DKIM1; k=rsa; p={key.public_key}",
        "DKIM: receivers check our signatures",
        required=True,
    )


def records_of(domain: SenderDomain, *, inbound_name: str, spf: str) -> list[Record]:
    """Return everything to publish; what is not known (`inbound_name`, `spf`) is left as a word in angle brackets."""
    return [
        challenge_record(domain),
        *(dkim_record(domain, key) for key in domain.dkim),
        Record("MX", domain.return_path_host, f"10 {inbound_name or '<host-of-bounce-inbound>'}.", "return path: bounces come back to us"),
        Record(
            "TXT",
            domain.return_path_host,
            f"v=spf1 {spf or 'ip4:<address-of-each-deliverer>'} -all",
            "SPF: these addresses send for the return path",
        ),
        Record("TXT", f"_dmarc.{domain.domain}", "v=DMARC1; p=none", "DMARC: begin with none, raise it when reports are clean"),
    ]


def has_challenge(domain: SenderDomain, texts: Sequence[str]) -> bool:
    """Tell whether one of the TXT records is the challenge's answer."""
    return any(text.strip() == CHALLENGE_FORM + domain.challenge for text in texts)


def has_dkim_key(key: DkimKey, texts: Sequence[str]) -> bool:
    """Tell whether one of the TXT records publishes this key: white space and the other tags do not matter (RFC 6376 3.2)."""
    return any(_tags(text).get("p") == key.public_key for text in texts)


def _tags(text: str) -> dict[str, str]:
    pairs = (each.partition("=") for each in text.split(";"))
    return {name.strip(): re.sub(r"\s+", "", value) for name, equals, value in pairs if equals}
