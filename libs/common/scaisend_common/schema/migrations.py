"""The migrations that this release carries: files `NNNN_name.sql` beside this module, applied in the order of their numbers, never edited
once released; release N-1 must run on the schema of release N.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One file; `checksum` is the SHA-256 of its text in hex."""

    version: int
    name: str
    sql: str
    checksum: str


class WrongMigrations(Exception):
    """The files and what the database remembers of them do not fit."""


def read_migrations() -> list[Migration]:
    """Return the migrations of this release, in order."""
    texts = {entry.name: entry.read_text("utf-8") for entry in files(__package__).iterdir() if _NAME.fullmatch(entry.name)}
    return ordered(texts)


def ordered(texts: Mapping[str, str]) -> list[Migration]:
    """Return migrations by number, from 1 without a gap. Raises WrongMigrations."""
    found = [Migration(int(name[:4]), name, sql, sha256(sql.encode()).hexdigest()) for name, sql in sorted(texts.items())]
    numbers = [each.version for each in found]
    if numbers != list(range(1, len(found) + 1)):
        raise WrongMigrations(f"migrations are not numbered 1, 2, 3 …: {numbers}")
    return found


def pending(known: Iterable[Migration], applied: Mapping[int, str]) -> list[Migration]:
    """Return what is still to be applied, given the checksums by version that the database remembers.

    Versions beyond the known ones are fine: a newer release was here. Raises WrongMigrations where a file was edited after it was applied.
    """
    known = list(known)
    for each in known:
        if applied.get(each.version, each.checksum) != each.checksum:
            raise WrongMigrations(f"{each.name} was applied in another form than this release carries; a migration must not be edited")
    return [each for each in known if each.version not in applied]


def latest() -> int:
    """Return the version that this release needs."""
    return len(read_migrations())
