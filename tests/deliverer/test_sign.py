import base64
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256

import dkim
import pytest
from awscrt.crypto import RSASignatureAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateNumbers
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from dkim.canonicalization import Relaxed
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.deliverer.mails import BARE, FULL, MESSAGE_ID, NOW, composed, contents, heads

from scaisend_common.mail.address import Address, Mailbox
from scaisend_common.messages import Content, Head, Part
from scaisend_deliverer.compose import Composed, compose
from scaisend_deliverer.sign import DkimKey, hash_of_body, relaxed_body, relaxed_value, sign


@cache
def private_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def der_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


@cache
def dkim_key(domain: str = "example.com") -> DkimKey:
    return DkimKey.from_der(domain, "s1", der_of(private_key()))


def dns(name: bytes, timeout: int = 5) -> bytes:
    public = private_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b"v=DKIM1; k=rsa; p=" + base64.b64encode(public) if name == b"s1._domainkey.example.com." else b""


def verifies(wire: bytes) -> bool:
    return bool(dkim.verify(wire, dnsfunc=dns))


def signed(mail: Composed, body_hash: bytes | None = None) -> bytes:
    return b"".join(mail.wire(sign(mail, dkim_key(), NOW, body_hash=body_hash)))


def order() -> Composed:
    head = Head(
        sender=Mailbox(Address("shop", "example.com"), "Der größte Laden"),
        to=(Mailbox(Address("jo", "example.org"), "Jo"),),
        subject="Ihre Bestellung über 3 €, und noch einiges mehr, das nicht in eine Zeile passt",
        headers={"List-Unsubscribe": "<https://example.com/u>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click", "X-Own": "1"},
    )
    return composed(
        compose(
            head,
            Content((Part("text/plain", "Hello  there \n\n\n"), Part("text/html", "<p>Hello\t "))),
            BARE,
            message_id=MESSAGE_ID,
            date=NOW,
        )
    )


def tags_of(signature: bytes) -> dict[str, str]:
    value = re.sub(r"\s+", "", signature.decode().partition(":")[2])
    return dict(tag.partition("=")[::2] for tag in value.split(";"))


@settings(max_examples=60)
@given(heads, contents())
def test_what_is_composed_and_signed_verifies_elsewhere(head: Head, content: Content) -> None:
    assert verifies(signed(composed(compose(head, content, BARE, message_id=MESSAGE_ID, date=NOW))))


def test_a_mail_with_utf8_in_its_headers_verifies_too() -> None:
    head = Head(sender=Mailbox(Address("jörg", "example.com"), "Jörg"), to=(Mailbox(Address("jo", "example.org")),), subject="x")
    assert verifies(signed(composed(compose(head, Content((Part("text/plain", "ä"),)), FULL, message_id=MESSAGE_ID, date=NOW))))


@given(
    st.lists(st.sampled_from([b" ", b"\t", b"\r\n", b"a", b".", b"  ", b"\xc3\xa4"]), max_size=30)
    .map(b"".join)
    .map(lambda body: body + b"\r\n")
)
@example(b"\r\n")
@example(b" \r\n\t\r\n")
@example(b"a \r\n\r\n \r\n\r\n")
def test_a_body_is_canonical_as_another_signer_has_it(body: bytes) -> None:
    assert relaxed_body(body) == Relaxed.canonicalize_body(body)


@pytest.mark.parametrize("piece", [b"a  b   c\td \r\n", b" " * 999 + b"x\r\n", b"x \t \r\n", b"  "])
@pytest.mark.parametrize("size", [60_000, 600_000])
def test_a_long_body_is_canonical_too(piece: bytes, size: int) -> None:
    body = b"begin" + piece * (size // len(piece))
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    assert relaxed_body(body) == b"\r\n".join(lines).rstrip(b"\r\n") + b"\r\n"


@pytest.mark.parametrize(
    ("body", "canonical"),
    [
        (b"", b""),
        (b"\r\n", b""),
        (b"\r\n\r\n", b""),
        (b" \t\r\n", b""),
        (b" ", b""),
        (b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n"),  # the example of RFC 6376 3.4.5
        (b"no end", b"no end\r\n"),
        (b"no end ", b"no end\r\n"),
        (b"\r\na", b"\r\na\r\n"),
        (b"\ta\tb\t\r\n", b" a b\r\n"),
        (b"a" + b" " * 1000 + b"b\r\n", b"a b\r\n"),
        (b"a\r\n" + b"\r\n" * 100_000, b"a\r\n"),
    ],
)
def test_bodies_in_relaxed_form(body: bytes, canonical: bytes) -> None:
    assert relaxed_body(body) == canonical


@pytest.mark.parametrize(
    ("value", "canonical"),
    [(b" X", b"X"), (b"Y\t\r\n\tZ  ", b"Y Z"), (b"", b""), (b"   ", b""), (b"\r\n a\r\n  b", b"a b"), (b"a:b ; c", b"a:b ; c")],
)
def test_field_values_in_relaxed_form(value: bytes, canonical: bytes) -> None:
    assert relaxed_value(value) == canonical
    assert Relaxed.canonicalize_headers([(b"A", b" " + value + b"\r\n")]) == [(b"a", canonical + b"\r\n")]


def test_the_signature_says_what_it_covers() -> None:
    tags = tags_of(sign(order(), dkim_key(), datetime(2026, 11, 23, 10, 0, 0, 999, tzinfo=UTC)))
    assert {name: tags[name] for name in "vacdst"} == {
        "v": "1",
        "a": "rsa-sha256",
        "c": "relaxed/relaxed",
        "d": "example.com",
        "s": "s1",
        "t": "1795428000",
    }
    assert "l" not in tags
    assert "x" not in tags
    names = tags["h"].split(":")
    once_more = {"from": 2, "to": 2, "cc": 1, "subject": 2, "date": 2, "reply-to": 1, "message-id": 2, "mime-version": 2, "content-type": 2}
    assert {name: names.count(name) for name in once_more} == once_more
    assert names.count("list-unsubscribe") == names.count("list-unsubscribe-post") == 2
    assert "x-own" not in names
    assert base64.b64decode(tags["bh"]) == hash_of_body(order().body)


def test_a_signature_is_sound_as_a_field() -> None:
    lines = sign(order(), dkim_key(), NOW).split(b"\r\n")
    assert lines[0].startswith(b"DKIM-Signature: v=1;")
    assert lines[-1] == b""
    assert all(line.startswith(b" ") for line in lines[1:-1])
    assert all(len(line) <= 90 for line in lines)


def test_a_known_hash_of_the_body_saves_work_and_changes_nothing() -> None:
    mail = order()
    assert signed(mail, hash_of_body(mail.body)) == signed(mail)
    assert not verifies(signed(mail, bytes(32)))


def insert(field: bytes) -> Callable[[bytes], bytes]:
    return lambda wire: field + b"\r\n" + wire


@pytest.mark.parametrize(
    "change",
    [
        *(insert(field) for field in (b"From: evil@example.org", b"To: x@y.z", b"Cc: x@y.z", b"Reply-To: x@y.z", b"Subject: other")),
        *(
            insert(field)
            for field in (b"Date: now", b"Message-ID: <x@y>", b"MIME-Version: 1.0", b"Content-Type: text/html", b"List-Unsubscribe: <a:b>")
        ),
        lambda wire: wire.replace(b"\r\nMessage-ID:", b"\r\nFrom: evil@example.org\r\nMessage-ID:"),
        lambda wire: wire.replace(b"Hello", b"Hallo", 1),
        lambda wire: wire + b"more\r\n",
        lambda wire: wire.replace(b"jo@example.org", b"jx@example.org"),
        lambda wire: wire.replace(b"<https://example.com/u>", b"<https://example.com/v>"),
        lambda wire: wire.replace(b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n", b""),
        lambda wire: wire.replace(b"d=example.com", b"d=example.org"),
        lambda wire: re.sub(rb"t=\d+", b"t=1795428001", wire),
    ],
)
def test_a_changed_mail_fails(change: Callable[[bytes], bytes]) -> None:
    wire = signed(order())
    assert verifies(wire)
    changed = change(wire)
    assert changed != wire
    assert not verifies(changed)


@pytest.mark.parametrize(
    "change",
    [
        lambda wire: wire + b"\r\n\r\n",
        lambda wire: wire.replace(b"Subject: ", b"SUBJECT:   "),
        lambda wire: b"Received: from a by b\r\n" + wire,
        lambda wire: wire.replace(b"To: Jo <jo", b"To: Jo\r\n\t<jo"),
    ],
)
def test_what_relays_may_do_breaks_nothing(change: Callable[[bytes], bytes]) -> None:
    assert verifies(change(signed(order())))


@pytest.mark.parametrize("bits", [1024, 2048, 3072, 4096])
def test_keys_of_each_size_that_verifiers_take_sign_as_openssl_does(bits: int) -> None:
    key, digest = private_key(bits), sha256(b"what is signed").digest()
    ours = DkimKey.from_der("example.com", "s1", der_of(key)).private_key.sign(RSASignatureAlgorithm.PKCS1_5_SHA256, digest)
    assert ours == key.sign(digest, PKCS1v15(), Prehashed(SHA256()))


def test_a_key_whose_parts_do_not_belong_together_is_refused() -> None:
    numbers = private_key().private_numbers()
    spoilt = RSAPrivateNumbers(
        numbers.p, numbers.q, numbers.d, numbers.dmp1 + 2, numbers.dmq1, numbers.iqmp, numbers.public_numbers
    ).private_key(unsafe_skip_rsa_key_validation=True)
    with pytest.raises(ValueError, match="do not belong together"):
        DkimKey.from_der("example.com", "s1", der_of(spoilt))


@pytest.mark.parametrize("bits", [1025, 2047])
def test_a_key_that_is_not_of_whole_octets_is_refused_for_it_would_not_sign(bits: int) -> None:
    with pytest.raises(ValueError, match="whole octets"):
        DkimKey.from_der("example.com", "s1", der_of(private_key(bits)))


def test_a_foreign_key_is_refused() -> None:
    with pytest.raises(ValueError, match="no RSA key"):
        DkimKey.from_der("example.com", "s1", der_of(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(ValueError):
        DkimKey.from_der("example.com", "s1", b"no key")
