"""What a command prints: tables and lines for people, one JSON value with `--json`; errors on stderr, exit status 1."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn, TypeVar

import msgspec

from scaisend_common.plumbing.postgres import DatabaseAway, NotPrepared
from scaisend_common.plumbing.redis import RedisAway
from scaisend_common.schema.migrations import WrongMigrations

T = TypeVar("T")
Row = Mapping[str, object]


class Refused(Exception):
    """The command cannot be done; the text says why and what to do."""


class Output:
    """Where results go. `as_json` is set once, by the option."""

    def __init__(self) -> None:
        self.as_json = False

    def value(self, row: Row, *, said: str = "") -> None:
        """Print one result: as JSON, or as the sentence `said`, or as lines of name and value."""
        if self.as_json:
            _print(_json(row))
        elif said:
            _print(said)
        else:
            width = max(map(len, row), default=0)
            for name, value in row.items():
                _print(f"{name:<{width}}  {_cell(value)}")

    def rows(self, rows: Sequence[Row], columns: Sequence[str]) -> None:
        """Print a list: a JSON array, or a table with these columns."""
        if self.as_json:
            _print(_json(list(rows)))
            return
        table = [list(columns), *([_cell(row.get(column)) for column in columns] for row in rows)]
        widths = [max(len(line[i]) for line in table) for i in range(len(columns))]
        for line in table:
            _print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())

    def line(self, text: str) -> None:
        """Print a line for people."""
        _print(text)

    def note(self, text: str) -> None:
        """Tell progress or a warning, on stderr: never part of the result."""
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


out = Output()


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work; what stands in its way ends the process with 1 and one line."""
    try:
        return asyncio.run(work)
    except (Refused, DatabaseAway, NotPrepared, WrongMigrations, RedisAway) as error:
        fail(error)


def fail(error: Exception) -> NoReturn:
    """Say what is wrong and exit with 1."""
    where = {DatabaseAway: "Postgres: ", NotPrepared: "Postgres: ", RedisAway: "Redis: "}.get(type(error), "")
    sys.stderr.write(f"error: {where}{error}\n")
    raise SystemExit(1)


def _json(value: object) -> str:
    return msgspec.json.encode(value, enc_hook=str).decode()


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case datetime():
            return value.isoformat(timespec="seconds")
        case list() | tuple():
            return ",".join(map(str, value))
        case _:
            return str(value)


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
