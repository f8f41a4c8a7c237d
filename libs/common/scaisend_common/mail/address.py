"""An e-mail address and the mailbox that names it (RFC 5321 4.1.2, RFC 5322 3.4, RFC 6531).

The domain is kept as A-labels in lower case (RFC 5891), the local part as it was written: only its owner may fold it.
"""

from __future__ import annotations

import re

import idna
import msgspec

_MAX_LOCAL = 64  # octets, RFC 5321 4.5.3.1.1
_MAX_ADDRESS = 254  # octets: a path is at most 256 with its angle brackets, 4.5.3.1.3
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOT_ATOM = rf"{_ATEXT}+(?:\.{_ATEXT}+)*"
_DOMAIN = rf"(?:{_LABEL}\.)+(?![0-9]){_LABEL}"  # no top-level domain begins with a digit, so no IPv4 address passes (RFC 3696 2)
_plain = re.compile(f"({_DOT_ATOM})@({_DOMAIN})").fullmatch
_is_domain = re.compile(_DOMAIN).fullmatch
_is_dot_atom = re.compile(rf"(?:{_ATEXT}|[^\x00-\x7f])+(?:\.(?:{_ATEXT}|[^\x00-\x7f])+)*").fullmatch
_is_quoted = re.compile(r'"(?:[^"\\]|\\[ -~])+"').fullmatch
_unescape = re.compile(r"\\(.)").sub
_escape = re.compile(r'(["\\])').sub


class Address(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """`local@domain`; `domain` in lower-case A-labels."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"

    @property
    def is_ascii(self) -> bool:
        """Whether a server without SMTPUTF8 can be given this address (RFC 6531 3.1)."""
        return self.local.isascii()


class Mailbox(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An address with the display name that a header shows; an empty name means none."""

    address: Address
    name: str = ""


def suppression_key(address: Address) -> str:
    """Return the form under which suppressions and stops know an address: wholly in lower case."""
    return str(address).lower()


def parse_address(text: str) -> Address | None:
    """Return the address that `text` is, strictly (RFC 5321 Mailbox, RFC 6531), or None.

    No address literal, no domain without a dot, no control character, space or angle bracket even inside quotes: an address goes onto a
    command line. Quotes that are not needed are dropped (RFC 5321 4.1.2), so one mailbox has one form and a suppression holds.
    """
    match = _plain(text)
    if match is None:
        return _parse_unusual(text)
    local, domain = match.groups()
    if len(local) > _MAX_LOCAL or len(text) > _MAX_ADDRESS:
        return None
    return Address(local, domain.lower())


def domain_to_ascii(domain: str) -> str | None:
    """Return a domain name as lower-case A-labels (UTS 46, RFC 5891), or None where it is none."""
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
        except UnicodeError:  # of which idna's errors are
            return None
    return domain.lower() if len(domain) <= _MAX_ADDRESS and _is_domain(domain) else None


def _parse_unusual(text: str) -> Address | None:
    """The slow half: quotes, non-ASCII, and all that is refused."""
    if len(text) > _MAX_ADDRESS or not text.isprintable() or not {" ", "<", ">"}.isdisjoint(text):
        return None
    raw_local, at, raw_domain = text.rpartition("@")
    local, domain = _minimal(raw_local), domain_to_ascii(raw_domain)
    if not at or local is None or domain is None:
        return None
    octets = len(local.encode())
    if octets > _MAX_LOCAL or octets + 1 + len(domain) > _MAX_ADDRESS:
        return None
    return Address(local, domain)


def _minimal(local: str) -> str | None:
    """Return a local part with no more quoting than it needs, or None where it is none."""
    if _is_dot_atom(local):
        return local
    if not _is_quoted(local):
        return None
    content = _unescape(r"\1", local[1:-1])
    return content if _is_dot_atom(content) else '"' + _escape(r"\\\1", content) + '"'
