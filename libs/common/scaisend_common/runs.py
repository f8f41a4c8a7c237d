"""Runs: encoded parts cut into pieces that each fit one message. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

MESSAGE_BYTES = 192 * 1024  # four submissions of 48 KB


def runs_of(encoded: Iterable[bytes], most: int, limit: int = MESSAGE_BYTES) -> Iterator[list[msgspec.Raw]]:
    """Yield runs of at most `most` parts, in order, and of at most `limit` bytes, unless a single part is longer."""
    run: list[msgspec.Raw] = []
    size = 0
    for each in encoded:
        if run and (len(run) == most or size + len(each) > limit):
            yield run
            run, size = [], 0
        run.append(msgspec.Raw(each))
        size += len(each)
    if run:
        yield run
