"""The records of the small internet, kept in memory, and what a question about a name finds among them.

STANDARDS: RFC 1034 4.3.2 (CNAME), RFC 4592 (wildcards), RFC 2308 (a name without data exists),
RFC 6376 3.6.2.2 (the strings of a TXT are joined).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

import dns.exception
import dns.name
import dns.rdataset
import dns.rdatatype
import dns.rrset
import msgspec

PUBLISHED_TTL = 1  # seconds: tests replace records and look again
MOST_ALIASES = 8
_STRING = 255  # RFC 1035 3.3.14: octets in one string of a TXT
_VERB = "VERB"


class Record(msgspec.Struct, frozen=True):
    """A record in presentation form; a TXT value may stand without quotes. Type VERB is ours: see `Verb`."""

    name: str
    type: str
    value: str


class Verb(Enum):
    """How the server misbehaves for a name and all below it. `TRUNCATED` answers whole over TCP."""

    SERVFAIL = "servfail"
    NXDOMAIN = "nxdomain"
    TIMEOUT = "timeout"
    TRUNCATED = "truncated"


class BadRecord(Exception):
    """A record that cannot be published, and why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found: `rrsets` in the order of the answer (aliases first), whether the name exists, how to misbehave."""

    rrsets: tuple[dns.rrset.RRset, ...]
    exists: bool
    verb: Verb | None = None


class Names:
    """Every record, by name and type. Publishing replaces; nothing is remembered after the process."""

    def __init__(self, records: Iterable[Record] = (), *, ttl: int = 60) -> None:
        self._sets: dict[str, dict[str, dns.rdataset.Rdataset]] = {}
        self._verbs: dict[str, Verb] = {}
        self.publish(records, ttl=ttl)

    def publish(self, records: Iterable[Record], *, ttl: int = PUBLISHED_TTL) -> None:
        """Replace each set (name, type) that `records` name. Raises BadRecord, and then changes nothing."""
        sets: dict[tuple[str, str], list[str]] = defaultdict(list)
        verbs: dict[str, Verb] = {}
        for record in records:
            name, kind = _key(record.name), record.type.upper()
            if kind == _VERB:
                verbs[name] = _verb(record.value)
            else:
                sets[name, kind].append(_presentation(kind, record.value))
        parsed = {key: _rdataset(key, values, ttl) for key, values in sets.items()}
        for (name, kind), rdataset in parsed.items():
            self._sets.setdefault(name, {})[kind] = rdataset
        self._verbs |= verbs

    def withdraw(self, name: str, kind: str) -> None:
        """Forget one set; nothing happens where there is none."""
        name = _key(name)
        if kind.upper() == _VERB:
            self._verbs.pop(name, None)
        elif (sets := self._sets.get(name)) and sets.pop(kind.upper(), None) and not sets:
            del self._sets[name]

    def records(self) -> Iterator[Record]:
        """Yield everything in presentation form."""
        for name, sets in self._sets.items():
            for kind, rdataset in sets.items():
                yield from (Record(name, kind, rdata.to_text()) for rdata in rdataset)
        yield from (Record(name, _VERB, verb.value) for name, verb in self._verbs.items())

    def find(self, name: str, kind: str) -> Answer:
        """Return what a question for the records of type `kind` under `name` finds; aliases are followed."""
        asked = name = _key(name)
        rrsets: list[dns.rrset.RRset] = []
        exists = True
        for _ in range(MOST_ALIASES):
            sets = self._at(name)
            exists = sets is not None
            if not sets:
                break
            if rdataset := sets.get(kind):
                rrsets.append(_rrset(name, rdataset))
                break
            if not (alias := sets.get("CNAME")):
                break
            rrsets.append(_rrset(name, alias))
            name = _key(alias[0].to_text())
        return Answer(tuple(rrsets), exists, self._verb_of(asked))

    def txt(self, name: str) -> bytes | None:
        """Return the first TXT of a name with its strings joined, as a DKIM verifier asks for it; None where there is none."""
        for rrset in self.find(name, "TXT").rrsets:
            if rrset.rdtype == dns.rdatatype.TXT:
                return b"".join(rrset[0].strings)
        return None

    def _at(self, name: str) -> dict[str, dns.rdataset.Rdataset] | None:
        """The sets of a name, empty where only names below it have some, None where it does not exist."""
        if (sets := self._exact(name)) is not None:
            return sets
        parent = name
        while parent:
            parent = parent.partition(".")[2]
            if wild := self._sets.get(f"*.{parent}"):
                return wild
            if self._exact(parent) is not None:  # the closest encloser has no wildcard (RFC 4592 3.3.1)
                return None
        return None

    def _exact(self, name: str) -> dict[str, dns.rdataset.Rdataset] | None:
        if (sets := self._sets.get(name)) is not None:
            return sets
        return {} if any(other.endswith(f".{name}") for other in self._sets) else None

    def _verb_of(self, name: str) -> Verb | None:
        while name:
            if verb := self._verbs.get(name):
                return verb
            name = name.partition(".")[2]
        return None


def _key(name: str) -> str:
    return name.lower().removesuffix(".")


def _verb(value: str) -> Verb:
    try:
        return Verb(value.lower())
    except ValueError as error:
        raise BadRecord(f"no such verb: {value}") from error


def _presentation(kind: str, value: str) -> str:
    """Quote a TXT that was given as bare text, in strings of at most 255 octets."""
    if kind != "TXT" or value.startswith('"'):
        return value
    text = value.encode()
    strings = [text[start : start + _STRING] for start in range(0, len(text), _STRING)] or [b""]
    return " ".join('"' + "".join(f"\\{octet:03}" for octet in string) + '"' for string in strings)


def _rdataset(key: tuple[str, str], values: list[str], ttl: int) -> dns.rdataset.Rdataset:
    name, kind = key
    try:
        dns.name.from_text(name)
        return dns.rdataset.from_text_list("IN", kind, ttl, values, origin=dns.name.root, relativize=False)
    except (dns.exception.DNSException, ValueError) as error:
        raise BadRecord(f"{name} {kind}: {error}") from error


def _rrset(name: str, rdataset: dns.rdataset.Rdataset) -> dns.rrset.RRset:
    return dns.rrset.from_rdata_list(dns.name.from_text(name), rdataset.ttl, list(rdataset))
