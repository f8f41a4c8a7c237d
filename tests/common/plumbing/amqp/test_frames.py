from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import frame as pamqp_frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from scaisend_common.plumbing.amqp import frames
from scaisend_common.plumbing.amqp.fields import Malformed
from scaisend_common.plumbing.amqp.methods import body_size_of, headers_of, message_id_of, persistent_properties, with_message_id

_frames = st.lists(st.tuples(st.sampled_from([1, 2, 3, 8]), st.integers(0, 2047), st.binary(max_size=200)), max_size=8)


def _wire(each: frames.Frame) -> bytes:
    kind, channel, payload = each
    return bytes((kind,)) + channel.to_bytes(2) + len(payload).to_bytes(4) + payload + b"\xce"


@given(_frames, st.lists(st.integers(0, 2000), max_size=12))
def test_frames_come_out_whole_however_the_bytes_are_split(sent: list[frames.Frame], cuts: list[int]) -> None:
    wire = b"".join(map(_wire, sent))
    reader = frames.FrameReader(frames.FRAME_MIN)
    edges = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    read = [each for start, end in pairwise(edges) for each in reader.feed(wire[start:end])]
    assert read == sent


@given(_frames)
def test_frames_come_out_whole_byte_by_byte(sent: list[frames.Frame]) -> None:
    reader = frames.FrameReader(frames.FRAME_MIN)
    assert [each for byte in b"".join(map(_wire, sent)) for each in reader.feed(bytes((byte,)))] == sent


@given(st.integers(4096 - 7, 2**32 - 1))
def test_a_frame_over_the_agreed_size_is_refused_before_it_is_read(size: int) -> None:
    with pytest.raises(Malformed, match="agreed"):
        frames.FrameReader(4096).feed(b"\x03\x00\x01" + size.to_bytes(4))


def test_the_largest_frame_agreed_on_is_read() -> None:
    payload = bytes(4096 - 8)
    assert frames.FrameReader(4096).feed(_wire((3, 1, payload))) == [(3, 1, payload)]


def test_a_frame_without_its_end_is_refused() -> None:
    with pytest.raises(Malformed, match="end"):
        frames.FrameReader(4096).feed(b"\x08\x00\x00\x00\x00\x00\x00\x00")


@given(st.binary(max_size=40_000), st.integers(4096, 9000), st.integers(1, 2047))
def test_a_body_is_split_at_frame_max_and_another_client_reads_it(body: bytes, frame_max: int, channel: int) -> None:
    properties = with_message_id(persistent_properties("text/plain", {"a": "b"}), 17)
    wire = b"".join(frames.content_frames(channel, properties, body, frame_max))
    bodies = []
    header = None
    while wire:
        used, on, value = pamqp_frame.unmarshal(wire)
        assert used <= frame_max
        assert on == channel
        if isinstance(value, ContentHeader):
            header = value
        else:
            assert isinstance(value, ContentBody)
            bodies.append(value.value)
        wire = wire[used:]
    assert header is not None
    assert header.body_size == len(body)
    assert header.properties.content_type == "text/plain"
    assert header.properties.headers == {"a": "b"}
    assert header.properties.delivery_mode == 2
    assert header.properties.message_id == "17"
    assert b"".join(bodies) == body
    assert len(bodies) == -(-len(body) // (frame_max - 8))


def test_headers_that_do_not_fit_into_a_frame_are_refused() -> None:
    properties = with_message_id(persistent_properties("text/plain", {"a": "b" * 5000}), 1)
    with pytest.raises(ValueError, match="do not fit"):
        frames.content_frames(1, properties, b"", 4096)


@given(st.binary(max_size=300))
def test_a_bent_content_header_is_malformed_or_read_and_nothing_else(junk: bytes) -> None:
    header = bytes(4) + junk
    for read in (headers_of, message_id_of, body_size_of):
        try:
            read(header)
        except Malformed:
            continue
