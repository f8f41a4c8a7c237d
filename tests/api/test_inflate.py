"""Gunzip within bounds."""

from __future__ import annotations

import contextlib
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaisend_api.inflate import STEP, Inflater, NotGzip


def inflate(pieces: list[bytes]) -> bytes:
    inflater = Inflater()
    found = b"".join(part for piece in pieces for part in inflater.feed(piece))
    inflater.finish()
    return found


@given(st.lists(st.binary(), min_size=1), st.integers(1, 50))
def test_members_come_out_as_they_went_in_however_they_are_cut(members: list[bytes], size: int) -> None:
    packed = b"".join(map(gzip.compress, members))
    assert inflate([packed[start : start + size] for start in range(0, len(packed), size)]) == b"".join(members)


@given(st.binary(max_size=100))
def test_any_bytes_are_inflated_or_refused(raw: bytes) -> None:
    with contextlib.suppress(NotGzip):
        inflate([raw])


@given(st.binary(), st.integers(1, 1000))
def test_a_stream_that_ends_early_is_refused(content: bytes, cut: int) -> None:
    packed = gzip.compress(content)
    with pytest.raises(NotGzip):
        inflate([packed[: max(0, len(packed) - cut)]])


def test_a_bomb_comes_out_in_steps() -> None:
    pieces = Inflater().feed(gzip.compress(bytes(10 * STEP)))
    assert len(next(pieces)) <= STEP
    assert len(next(pieces)) <= STEP
