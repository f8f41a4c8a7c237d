from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import decode as pamqp_decode

from scaisend_common.plumbing.amqp.fields import FieldValue, Malformed, decode_table, encode_table, short_string

_keys = st.text(max_size=60)  # up to 240 bytes
_scalars = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=300),
    st.binary(max_size=300),
    st.none(),
    st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)).map(lambda at: at.replace(microsecond=0, tzinfo=UTC)),  # noqa: DTZ001
    st.decimals(-(10**6), 10**6, places=3).map(lambda d: Decimal(d).quantize(Decimal("0.001"))),
)
_values = st.recursive(_scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=4), max_leaves=12)
tables = st.dictionaries(_keys, _values, max_size=6)


@given(tables)
def test_a_table_comes_back_as_it_went(table: dict[str, FieldValue]) -> None:
    wire = encode_table(table)
    assert decode_table(wire) == (table, len(wire))


@given(st.dictionaries(st.text(max_size=30), st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.text(max_size=99)), max_size=6))
def test_another_client_reads_our_tables(table: dict[str, FieldValue]) -> None:
    assert pamqp_decode.field_table(encode_table(table)) == (len(encode_table(table)), table)


@given(tables, st.data())
def test_a_table_cut_short_or_bent_is_malformed_or_a_table_and_nothing_else(table: dict[str, FieldValue], data: st.DataObject) -> None:
    wire = bytearray(encode_table(table))
    for _ in range(data.draw(st.integers(0, 3))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(wire[: data.draw(st.integers(0, len(wire)))])
    try:
        decoded, end = decode_table(cut)
    except Malformed:
        return
    assert isinstance(decoded, dict)
    assert end <= len(cut)


def test_bytes_that_are_no_text_stay_bytes() -> None:
    assert decode_table(b"\x00\x00\x00\x09\x01kS\x00\x00\x00\x02\xff\xfe") == ({"k": b"\xff\xfe"}, 13)


def test_a_key_longer_than_255_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="255"):
        short_string("é" * 128)


def test_an_integer_beyond_64_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="64 bits"):
        encode_table({"n": 2**63})
