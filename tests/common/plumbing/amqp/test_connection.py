from __future__ import annotations

import asyncio
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.common.plumbing.amqp.conftest import Broker, Relay

from scaisend_common.plumbing.amqp import Publisher, Unavailable
from scaisend_common.plumbing.amqp.channel import ChannelClosed
from scaisend_common.plumbing.amqp.connection import connect
from scaisend_common.plumbing.amqp.methods import NOT_FOUND, QUEUE_DECLARE_OK, queue_passive
from scaisend_common.plumbing.amqp.url import parse_url


async def test_a_wrong_password_is_refused_in_the_brokers_words(broker: Broker) -> None:
    with pytest.raises(Unavailable, match="ACCESS_REFUSED"):
        await connect(parse_url(broker.url.replace("guest:guest", "guest:wrong")), name="t")


async def test_a_vhost_that_is_not_there_is_refused_in_the_brokers_words(broker: Broker) -> None:
    with pytest.raises(Unavailable, match="vhost nowhere not found"):
        await connect(parse_url(broker.url.rpartition("/")[0] + "/nowhere"), name="t")


async def test_what_is_no_broker_is_unavailable(relay: Relay) -> None:
    relay.accepts = False
    with pytest.raises(Unavailable):
        await connect(parse_url(relay.url), name="t")


async def test_junk_ends_the_connection(relay: Relay) -> None:
    connection = await connect(parse_url(relay.url), name="t")
    relay.inject(b"\x01\x00\x00\xff\xff\xff\xff")
    assert "not AMQP" in await asyncio.wait_for(connection.ended, 5)
    await connection.close()


async def test_an_idle_connection_is_kept_alive_by_heartbeats_both_ways(relay: Relay) -> None:
    connection = await connect(parse_url(relay.url), name="t", heartbeat=1)
    assert connection.heartbeat == 1
    await asyncio.sleep(3.5)
    assert connection.is_open
    assert time.monotonic() - connection.last_heard < 1
    await connection.close()


async def test_a_silent_broker_is_left_after_two_heartbeats(relay: Relay) -> None:
    connection = await connect(parse_url(relay.url), name="t", heartbeat=1)
    relay.stall()
    began_at = time.monotonic()
    assert "no sign of life" in await asyncio.wait_for(connection.ended, 5)
    assert time.monotonic() - began_at > 1.4
    await connection.close()


async def test_a_process_that_slept_listens_before_it_leaves(relay: Relay) -> None:
    connection = await connect(parse_url(relay.url), name="t", heartbeat=1)
    time.sleep(1.8)  # noqa: ASYNC251 - the stall is the point; the broker hangs up after two intervals, so less
    await asyncio.sleep(0.7)
    assert connection.is_open
    await connection.close()


async def test_a_channels_end_is_not_its_connections(broker: Broker) -> None:
    connection = await connect(parse_url(broker.url), name="t")
    one, other = await connection.channel(), await connection.channel()
    with pytest.raises(ChannelClosed, match="no queue 'nope'") as raised:
        await one.call(queue_passive("nope"), QUEUE_DECLARE_OK)
    assert raised.value.code == NOT_FOUND
    with pytest.raises(ChannelClosed):
        await one.call(queue_passive("nope"), QUEUE_DECLARE_OK)
    await broker.queue("q")
    await other.call(queue_passive("q"), QUEUE_DECLARE_OK)
    await connection.close()
    with pytest.raises(Unavailable):
        await other.call(queue_passive("q"), QUEUE_DECLARE_OK)


async def test_channel_numbers_are_used_again(broker: Broker) -> None:
    connection = await connect(parse_url(broker.url), name="t")
    for _ in range(3):
        channel = await connection.channel()
        assert channel.number == 1
        await channel.close()
    await connection.close()


async def test_tls_is_spoken_and_an_unknown_certificate_is_not_trusted(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = _self_signed(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    relay = Relay(broker.url)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0, ssl=context)
    at = parse_url(broker.url)
    url = f"amqps://localhost:{server.sockets[0].getsockname()[1]}/{at.vhost}"
    with pytest.raises(Unavailable, match="certificate"):
        await connect(parse_url(url), name="t")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    await broker.queue("q")
    async with Publisher(url, name="t") as publisher:
        await publisher.publish("", "q", b"over TLS")
    assert (await broker.get("q")).body == b"over TLS"
    server.close()
    await relay.close()
    await server.wait_closed()


def _self_signed(place: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = place / "localhost.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
