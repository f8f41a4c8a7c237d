"""The lines that an SMTP client says, read strictly. Pure.

STANDARDS: RFC 5321 4.1, RFC 1870 (SIZE), RFC 6152 (BODY), RFC 6531 (SMTPUTF8), RFC 2920 3.1 (what ends a pipelined group).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sandbox.zones import Offers

LAST_IN_GROUP = frozenset({"EHLO", "HELO", "DATA", "STARTTLS", "QUIT", "NOOP", "VRFY", "EXPN"})

_PATH = re.compile(r"(FROM|TO):<((?:\"(?:[^\"\\]|\\.)*\"|[^\">])*)>((?: [!-~]+)*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Command:
    """A verb in capitals and what stands after it."""

    verb: str
    rest: str


@dataclass(frozen=True, slots=True)
class Path:
    """The address of MAIL or RCPT and the parameters after it, their names in capitals."""

    address: str
    parameters: dict[str, str]


def read_command(line: bytes) -> Command | None:
    """Read a line without its CRLF; None where it is not UTF-8."""
    try:
        verb, _, rest = line.decode().partition(" ")
    except UnicodeDecodeError:
        return None
    return Command(verb.upper(), rest)


def read_path(rest: str, keyword: str) -> Path | None:
    """Read `FROM:<…> PARAM=…` or `TO:<…>`; None where it is malformed (a space after the colon is)."""
    found = _PATH.fullmatch(rest)
    if not found or found[1].upper() != keyword:
        return None
    parameters = (word.partition("=") for word in found[3].split())
    return Path(found[2], {name.upper(): value for name, _, value in parameters})


def mail_fault(path: Path, offers: Offers, most: int) -> str | None:
    """Return the refusal of a MAIL that asks for what is not offered, or None."""
    allowed = {"SIZE"} | ({"BODY"} if offers.eight_bit else set()) | ({"SMTPUTF8"} if offers.smtputf8 else set())
    if unknown := path.parameters.keys() - allowed:
        return f"555 5.5.4 {min(unknown)} is not offered here"
    if path.parameters.get("BODY", "7BIT").upper() not in {"7BIT", "8BITMIME"}:
        return "501 5.5.4 No such BODY"
    size = path.parameters.get("SIZE", "0")
    if not size.isascii() or not size.isdigit() or len(size) > 20:
        return "501 5.5.4 SIZE is not a number"
    if int(size) > most:
        return "552 5.3.4 The mail is too large"
    return address_fault(path.address, smtputf8="SMTPUTF8" in path.parameters) if path.address else None


def address_fault(address: str, *, smtputf8: bool) -> str | None:
    """Return the refusal of an address that is none, or that needs SMTPUTF8, or None."""
    local, at, domain = address.rpartition("@")
    if not (local and at and domain):
        return "501 5.1.3 That is no address"
    if not address.isascii() and not smtputf8:
        return "553 5.6.7 The address needs SMTPUTF8"
    return None


def greeting(name: str, offers: Offers, most: int, *, in_tls: bool) -> str:
    """Return the reply to EHLO."""
    lines = [
        name,
        f"SIZE {most}",
        "ENHANCEDSTATUSCODES",
        *(["PIPELINING"] if offers.pipelining else []),
        *(["8BITMIME"] if offers.eight_bit else []),
        *(["SMTPUTF8"] if offers.smtputf8 else []),
        *(["STARTTLS"] if offers.starttls and not in_tls else []),
    ]
    return "\r\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"])
