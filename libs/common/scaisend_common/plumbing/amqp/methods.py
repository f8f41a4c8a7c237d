"""AMQP methods and message properties, as bytes: the few that this client speaks. No I/O.

STANDARDS: AMQP 0-9-1 XML specification; RabbitMQ's extensions confirm.select, basic.nack, connection.blocked. A method is known by
its class and number in one integer, `class << 16 | number`.
"""

from __future__ import annotations

import struct

from scaisend_common.plumbing.amqp.fields import (
    FieldValue,
    Malformed,
    Table,
    decode_short_string,
    decode_table,
    encode_table,
    long_string,
    short_string,
)

CONNECTION_START, CONNECTION_START_OK = 0x000A000A, 0x000A000B
CONNECTION_TUNE, CONNECTION_TUNE_OK = 0x000A001E, 0x000A001F
CONNECTION_OPEN, CONNECTION_OPEN_OK = 0x000A0028, 0x000A0029
CONNECTION_CLOSE, CONNECTION_CLOSE_OK = 0x000A0032, 0x000A0033
CONNECTION_BLOCKED, CONNECTION_UNBLOCKED = 0x000A003C, 0x000A003D
CHANNEL_OPEN, CHANNEL_OPEN_OK = 0x0014000A, 0x0014000B
CHANNEL_FLOW, CHANNEL_FLOW_OK = 0x00140014, 0x00140015
CHANNEL_CLOSE, CHANNEL_CLOSE_OK = 0x00140028, 0x00140029
QUEUE_DECLARE, QUEUE_DECLARE_OK = 0x0032000A, 0x0032000B
QUEUE_BIND, QUEUE_BIND_OK = 0x00320014, 0x00320015
QUEUE_DELETE, QUEUE_DELETE_OK = 0x00320028, 0x00320029
BASIC_QOS, BASIC_QOS_OK = 0x003C000A, 0x003C000B
BASIC_CONSUME, BASIC_CONSUME_OK = 0x003C0014, 0x003C0015
BASIC_CANCEL, BASIC_CANCEL_OK = 0x003C001E, 0x003C001F
BASIC_PUBLISH = 0x003C0028
BASIC_RETURN = 0x003C0032
BASIC_DELIVER = 0x003C003C
BASIC_ACK, BASIC_NACK = 0x003C0050, 0x003C0078
CONFIRM_SELECT, CONFIRM_SELECT_OK = 0x0055000A, 0x0055000B

ACCESS_REFUSED, NOT_FOUND, RESOURCE_LOCKED, PRECONDITION_FAILED = 403, 404, 405, 406

_ID = struct.Struct(">I")
_TAG = struct.Struct(">IQB")
_TUNE = struct.Struct(">HIH")
_HAS_CONTENT_TYPE, _HAS_ENCODING, _HAS_HEADERS, _HAS_DELIVERY_MODE, _HAS_MESSAGE_ID = 0x8000, 0x4000, 0x2000, 0x1000, 0x0080
_BETWEEN = ((0x0800, "octet"), (0x0400, "short"), (0x0200, "short"), (0x0100, "short"))  # priority, correlation-id, reply-to, expiration
_PERSISTENT = b"\x02"


def method_of(payload: bytes) -> int:
    """Return which method a method frame's payload is."""
    return int(_ID.unpack_from(payload)[0])


def bare(method: int) -> bytes:
    """Encode a method without arguments."""
    return _ID.pack(method)


def start_ok(client: Table, user: str, password: str) -> bytes:
    """Encode connection.start-ok with the PLAIN mechanism."""
    response = f"\0{user}\0{password}".encode()
    return _ID.pack(CONNECTION_START_OK) + encode_table(client) + short_string("PLAIN") + long_string(response) + short_string("en_US")


def tune_of(payload: bytes) -> tuple[int, int, int]:
    """Decode connection.tune: channel-max, frame-max, heartbeat in seconds; 0 means without a limit."""
    channel_max, frame_max, heartbeat = _TUNE.unpack_from(payload, 4)
    return channel_max, frame_max, heartbeat


def tune_ok(channel_max: int, frame_max: int, heartbeat: int) -> bytes:
    """Encode connection.tune-ok."""
    return _ID.pack(CONNECTION_TUNE_OK) + _TUNE.pack(channel_max, frame_max, heartbeat)


def open_vhost(vhost: str) -> bytes:
    """Encode connection.open."""
    return _ID.pack(CONNECTION_OPEN) + short_string(vhost) + b"\x00\x00"


def open_channel() -> bytes:
    """Encode channel.open."""
    return _ID.pack(CHANNEL_OPEN) + b"\x00"


def close(method: int, code: int = 200, text: str = "") -> bytes:
    """Encode connection.close or channel.close."""
    return _ID.pack(method) + struct.pack(">H", code) + short_string(text) + b"\x00\x00\x00\x00"


def close_of(payload: bytes) -> tuple[int, str]:
    """Decode connection.close and channel.close: code and text."""
    return int(struct.unpack_from(">H", payload, 4)[0]), decode_short_string(payload, 6)[0]


def blocked_of(payload: bytes) -> str:
    """Decode connection.blocked: why."""
    return decode_short_string(payload, 4)[0]


def queue_declare(queue: str, *, exclusive: bool, auto_delete: bool) -> bytes:
    """Encode queue.declare of a queue that lives no longer than its connection; an empty name lets the broker choose."""
    return _ID.pack(QUEUE_DECLARE) + b"\x00\x00" + short_string(queue) + bytes((exclusive << 2 | auto_delete << 3,)) + encode_table({})


def queue_passive(queue: str) -> bytes:
    """Encode queue.declare of a queue that must exist."""
    return _ID.pack(QUEUE_DECLARE) + b"\x00\x00" + short_string(queue) + b"\x01" + encode_table({})


def queue_of(payload: bytes) -> str:
    """Decode the name in queue.declare-ok."""
    return decode_short_string(payload, 4)[0]


def queue_bind(queue: str, exchange: str, key: str) -> bytes:
    """Encode queue.bind."""
    return (
        _ID.pack(QUEUE_BIND) + b"\x00\x00" + short_string(queue) + short_string(exchange) + short_string(key) + b"\x00" + encode_table({})
    )


def queue_delete(queue: str) -> bytes:
    """Encode queue.delete."""
    return _ID.pack(QUEUE_DELETE) + b"\x00\x00" + short_string(queue) + b"\x00"


def qos(prefetch: int) -> bytes:
    """Encode basic.qos for the consumers that follow on the channel (global=false: quorum queues refuse the other)."""
    return _ID.pack(BASIC_QOS) + struct.pack(">IHB", 0, prefetch, 0)


def consume(queue: str, consumer_tag: str, *, no_ack: bool = False) -> bytes:
    """Encode basic.consume."""
    return (
        _ID.pack(BASIC_CONSUME) + b"\x00\x00" + short_string(queue) + short_string(consumer_tag) + bytes((no_ack << 1,)) + encode_table({})
    )


def cancel(consumer_tag: str) -> bytes:
    """Encode basic.cancel."""
    return _ID.pack(BASIC_CANCEL) + short_string(consumer_tag) + b"\x00"


def confirm_select() -> bytes:
    """Encode confirm.select."""
    return _ID.pack(CONFIRM_SELECT) + b"\x00"


def ack(tag: int, *, multiple: bool) -> bytes:
    """Encode basic.ack."""
    return _TAG.pack(BASIC_ACK, tag, multiple)


def requeue(tag: int) -> bytes:
    """Encode basic.nack of one message that goes back to its queue."""
    return _TAG.pack(BASIC_NACK, tag, 0b10)


def confirm_of(payload: bytes) -> tuple[int, bool]:
    """Decode basic.ack and basic.nack: delivery tag, multiple."""
    _, tag, bits = _TAG.unpack_from(payload)
    return tag, bits & 1 == 1


def publish(exchange: str, key: str, *, mandatory: bool) -> bytes:
    """Encode basic.publish."""
    return _ID.pack(BASIC_PUBLISH) + b"\x00\x00" + short_string(exchange) + short_string(key) + bytes((mandatory,))


def deliver_of(payload: bytes) -> tuple[int, bool]:
    """Decode basic.deliver: delivery tag, redelivered."""
    _, tag, redelivered = _TAG.unpack_from(payload, payload[4] + 1)
    return tag, redelivered != 0


def return_of(payload: bytes) -> tuple[int, str]:
    """Decode basic.return: code and text."""
    return close_of(payload)


def persistent_properties(content_type: str, headers: Table | None = None) -> bytes:
    """Encode the properties of a persistent message up to its message-id, which `with_message_id` adds."""
    flags = _HAS_CONTENT_TYPE | _HAS_DELIVERY_MODE | _HAS_MESSAGE_ID | (_HAS_HEADERS if headers else 0)
    table = encode_table(headers) if headers else b""
    return flags.to_bytes(2) + short_string(content_type) + table + _PERSISTENT


def with_message_id(properties: bytes, number: int) -> bytes:
    """Complete the properties with a number as message-id."""
    message_id = b"%d" % number
    return b"%b%c%b" % (properties, len(message_id), message_id)


def body_size_of(header: bytes) -> int:
    """Decode the body size in a content header frame's payload."""
    return int.from_bytes(header[4:12])


def headers_of(header: bytes) -> dict[str, FieldValue]:
    """Decode the headers in a content header frame's payload. Raises Malformed."""
    flags = int.from_bytes(header[12:14])
    return decode_table(header, _after_encoding(header, flags))[0] if flags & _HAS_HEADERS else {}


def message_id_of(header: bytes) -> bytes:
    """Decode the message-id in a content header frame's payload; empty when there is none. Raises Malformed."""
    flags = int.from_bytes(header[12:14])
    if not flags & _HAS_MESSAGE_ID:
        return b""
    at = _after_encoding(header, flags)
    try:
        at += 4 + int(_ID.unpack_from(header, at)[0]) if flags & _HAS_HEADERS else 0
        at += 1 if flags & _HAS_DELIVERY_MODE else 0
        for flag, kind in _BETWEEN:
            at += 0 if not flags & flag else 1 if kind == "octet" else 1 + header[at]
        return header[at + 1 : at + 1 + header[at]]
    except (IndexError, struct.error) as error:
        raise Malformed("message properties run past their frame") from error


def _after_encoding(header: bytes, flags: int) -> int:
    at = 14
    for flag in (_HAS_CONTENT_TYPE, _HAS_ENCODING):
        if flags & flag:
            at = decode_short_string(header, at)[1]
    return at
