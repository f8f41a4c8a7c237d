from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands
from pamqp.base import Frame
from pamqp.header import ContentHeader

from scaisend_common.plumbing.amqp import methods

_CLIENT: dict[str, Any] = {"capabilities": {"basic.nack": True}, "product": "x"}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (methods.start_ok(_CLIENT, "u", "p"), commands.Connection.StartOk(_CLIENT, "PLAIN", "\0u\0p", "en_US")),
        (methods.tune_ok(2047, 131072, 20), commands.Connection.TuneOk(2047, 131072, 20)),
        (methods.open_vhost("/"), commands.Connection.Open("/")),
        (methods.close(methods.CONNECTION_CLOSE, 200, "done"), commands.Connection.Close(200, "done", 0, 0)),
        (methods.bare(methods.CONNECTION_CLOSE_OK), commands.Connection.CloseOk()),
        (methods.close(methods.CHANNEL_CLOSE), commands.Channel.Close(200, "", 0, 0)),
        (methods.bare(methods.CHANNEL_CLOSE_OK), commands.Channel.CloseOk()),
        (methods.queue_declare("q", exclusive=True, auto_delete=True), commands.Queue.Declare(0, "q", False, False, True, True, False, {})),
        (methods.queue_declare("q", exclusive=True, auto_delete=False), commands.Queue.Declare(0, "q", exclusive=True)),
        (methods.queue_passive("q"), commands.Queue.Declare(0, "q", passive=True)),
        (methods.queue_bind("q", "e", "k"), commands.Queue.Bind(0, "q", "e", "k", False, {})),
        (methods.queue_delete("q"), commands.Queue.Delete(0, "q", False, False, False)),
        (methods.qos(200), commands.Basic.Qos(0, 200, False)),
        (methods.consume("q", "c"), commands.Basic.Consume(0, "q", "c", False, False, False, False, {})),
        (methods.consume("q", "c", no_ack=True), commands.Basic.Consume(0, "q", "c", False, True, False, False, {})),
        (methods.cancel("c"), commands.Basic.Cancel("c", False)),
        (methods.confirm_select(), commands.Confirm.Select(False)),
        (methods.publish("e", "k", mandatory=True), commands.Basic.Publish(0, "e", "k", True, False)),
        (methods.publish("e", "k", mandatory=False), commands.Basic.Publish(0, "e", "k", False, False)),
        (methods.ack(7, multiple=True), commands.Basic.Ack(7, True)),
        (methods.ack(7, multiple=False), commands.Basic.Ack(7, False)),
        (methods.requeue(7), commands.Basic.Nack(7, False, True)),
    ],
)
def test_methods_are_encoded_as_another_client_encodes_them(ours: bytes, theirs: Frame) -> None:
    assert ours == theirs.index.to_bytes(4) + theirs.marshal()
    assert methods.method_of(ours) == theirs.index


# no more than what the other client can write
_short = st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=60)
_tags = st.integers(0, 2**63 - 1)


@given(_short, _tags, st.booleans(), _short, _short)
def test_deliver_is_read_as_another_client_writes_it(consumer_tag: str, tag: int, redelivered: bool, exchange: str, key: str) -> None:
    theirs = commands.Basic.Deliver(consumer_tag, tag, redelivered, exchange, key)
    assert methods.deliver_of(theirs.index.to_bytes(4) + theirs.marshal()) == (tag, redelivered)


@given(_tags, st.booleans())
def test_confirms_are_read_as_another_client_writes_them(tag: int, multiple: bool) -> None:
    theirs = commands.Basic.Ack(tag, multiple)
    assert methods.confirm_of(theirs.index.to_bytes(4) + theirs.marshal()) == (tag, multiple)


_optional = st.none() | _short.filter(bool)


@given(
    st.fixed_dictionaries(
        {
            "content_type": _optional,
            "content_encoding": _optional,
            "headers": st.none() | st.dictionaries(_short, _short, min_size=1, max_size=3),
            "delivery_mode": st.none() | st.just(2),
            "priority": st.none() | st.integers(1, 9),
            "correlation_id": _optional,
            "reply_to": _optional,
            "expiration": _optional,
            "message_id": _optional,
        }
    )
)
def test_properties_are_read_whichever_are_there(properties: dict[str, Any]) -> None:
    wire = ContentHeader(0, 12345, commands.Basic.Properties(**properties)).marshal()
    assert methods.body_size_of(wire) == 12345
    assert methods.headers_of(wire) == (properties["headers"] or {})
    assert methods.message_id_of(wire) == (properties["message_id"] or "").encode()
