"""AMQP frames: cutting them out of a byte stream that may be split anywhere, and making them. No I/O.

STANDARDS: AMQP 0-9-1 section 4.2.3: type, channel, size, payload, 0xCE. A frame, those 8 bytes included, is at most `frame_max`
long; a body longer than that travels in several.
"""

from __future__ import annotations

import struct
from typing import TypeAlias

from scaisend_common.plumbing.amqp.fields import Malformed

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
HEARTBEAT_FRAME = b"\x08\x00\x00\x00\x00\x00\x00\xce"
FRAME_MIN = 4096
OVERHEAD = 8

Frame: TypeAlias = tuple[int, int, bytes]
"""Type, channel, payload."""

_HEAD = struct.Struct(">BHI")
_CONTENT_HEAD = struct.Struct(">BHIHHQ")
_BASIC = 60
_END = b"\xce"


class FrameReader:
    """Reassembles frames, however the bytes come. Raises Malformed for a frame longer than `frame_max` or without its end."""

    def __init__(self, frame_max: int) -> None:
        self.frame_max = frame_max
        self._kept = bytearray()
        self._needed = 0

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that are complete now."""
        if self._kept:
            self._kept += data
            if len(self._kept) < self._needed:
                return []
            data = bytes(self._kept)
            self._kept.clear()
        frames: list[Frame] = []
        at, length = 0, len(data)
        while length - at >= _HEAD.size:
            kind, channel, size = _HEAD.unpack_from(data, at)
            if size > self.frame_max - OVERHEAD:
                raise Malformed(f"a frame of {size} bytes where at most {self.frame_max - OVERHEAD} were agreed on")
            end = at + 7 + size
            if end >= length:
                break
            if data[end] != 0xCE:
                raise Malformed("a frame does not end where it says")
            frames.append((kind, channel, data[at + 7 : end]))
            at = end + 1
        if at < length:
            self._keep(data[at:] if at else data)
        return frames

    def _keep(self, rest: bytes) -> None:
        self._kept += rest
        self._needed = _HEAD.size if len(rest) < _HEAD.size else OVERHEAD + int(_HEAD.unpack_from(rest)[2])


def method_frame(channel: int, payload: bytes) -> bytes:
    """Return the frame of a method; methods are never split."""
    return _HEAD.pack(METHOD, channel, len(payload)) + payload + _END


def content_frames(channel: int, properties: bytes, body: bytes, frame_max: int) -> list[bytes]:
    """Return the pieces that follow a method with content: its header, then the body in as many frames as it needs.

    Raises ValueError when the properties do not fit into one frame, the only thing here that cannot be split.
    """
    size = 12 + len(properties)
    if size > frame_max - OVERHEAD:
        raise ValueError(f"headers of {len(properties)} bytes do not fit into a frame of {frame_max}")
    pieces = [_CONTENT_HEAD.pack(HEADER, channel, size, _BASIC, 0, len(body)), properties]
    most = frame_max - OVERHEAD
    if len(body) <= most:
        if body:
            pieces += (_END + _HEAD.pack(BODY, channel, len(body)), body)
        pieces.append(_END)
        return pieces
    for start in range(0, len(body), most):
        part = body[start : start + most]
        pieces += (_END + _HEAD.pack(BODY, channel, len(part)), part)
    pieces.append(_END)
    return pieces
