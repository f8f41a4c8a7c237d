import re
from base64 import b64decode, b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key
from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.plumbing.crypto import (
    CannotOpen,
    KeyRing,
    api_key_mac,
    key_id_of,
    mac,
    new_api_key,
    new_dkim_key,
    new_key_ring,
    open_sealed,
    same,
    seal,
)

kids = st.from_regex(r"[A-Za-z0-9._-]{1,32}", fullmatch=True)
keys = st.binary(min_size=32, max_size=32)
rings = st.dictionaries(kids, keys, min_size=1, max_size=4).map(KeyRing)


def written(ring: KeyRing) -> str:
    return ",".join(f"{kid}:{b64encode(key).decode()}" for kid, key in ring.items())


@given(rings)
def test_a_ring_reads_back_as_it_was_written_and_the_first_key_is_current(ring: KeyRing) -> None:
    again = KeyRing.parse(written(ring))
    assert dict(again) == dict(ring)
    assert again.current == next(iter(ring.items()))
    assert again.get("no such kid") is None


@given(rings)
def test_a_ring_never_shows_its_keys(ring: KeyRing) -> None:
    assert not any(b64encode(key).decode() in repr(ring) for key in ring.values())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "k1",
        "k1:",
        "k1:AAAA",
        "k1:!!!",
        ":" + "A" * 44,
        "k 1:" + "A" * 43 + "=",
        "k1:" + "A" * 43 + "=,k1:" + "B" * 43 + "=",
        "k1:" + "A" * 43 + "=,",
    ],
)
def test_what_is_no_ring_is_refused_without_quoting_keys(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        KeyRing.parse(text)
    assert "AAAA" not in str(refused.value)


def test_a_new_ring_is_a_ring() -> None:
    assert list(KeyRing.parse(new_key_ring("k7"))) == ["k7"]


@given(rings, st.binary(max_size=200), st.text(max_size=30))
def test_what_is_sealed_opens_again_also_after_rotation(ring: KeyRing, plaintext: bytes, bound_to: str) -> None:
    kid, sealed = seal(ring, plaintext, bound_to)
    rotated = KeyRing({"newer-than-all-others-x": bytes(32), **ring})
    assert open_sealed(rotated, kid, sealed, bound_to) == plaintext


@given(rings, st.binary(max_size=50), st.data())
def test_altered_bytes_or_another_binding_do_not_open(ring: KeyRing, plaintext: bytes, data: st.DataObject) -> None:
    kid, sealed = seal(ring, plaintext, "tenant|example.com|s1")
    at = data.draw(st.integers(0, len(sealed) - 1))
    altered = sealed[:at] + bytes([sealed[at] ^ data.draw(st.integers(1, 255))]) + sealed[at + 1 :]
    with pytest.raises(CannotOpen):
        open_sealed(ring, kid, altered, "tenant|example.com|s1")
    with pytest.raises(CannotOpen):
        open_sealed(ring, kid, sealed, "other|example.com|s1")
    with pytest.raises(CannotOpen):
        open_sealed(ring, kid, sealed[: data.draw(st.integers(0, 27))], "tenant|example.com|s1")
    with pytest.raises(CannotOpen):
        open_sealed(ring, "gone", sealed, "tenant|example.com|s1")


def test_mac_is_hmac_sha_256() -> None:  # RFC 4231, test case 2
    assert mac(b"Jefe", b"what do ya want for nothing?").hex() == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_same_is_equality(one: bytes, other: bytes) -> None:
    assert same(one, other) == (one == other)


def test_an_api_key_has_sendgrids_form_and_its_mac_depends_on_all_of_it() -> None:
    key = new_api_key()
    assert re.fullmatch(r"SG\.[\w-]{22}\.[\w-]{43}", key.text)
    assert key_id_of(key.text) == key.key_id
    assert key.text not in repr(key)
    assert api_key_mac(b"p" * 32, key.text) != api_key_mac(b"p" * 32, key.text[:-1] + ("A" if key.text[-1] != "A" else "B"))
    assert api_key_mac(b"p" * 32, key.text) != api_key_mac(b"q" * 32, key.text)


@given(st.text(max_size=80))
def test_other_text_has_no_key_id(text: str) -> None:
    found = key_id_of(text)
    assert found is None or text.startswith(f"SG.{found}.")


def test_a_dkim_key_is_rsa_2048_and_its_public_half_is_published() -> None:
    der, published = new_dkim_key()
    key = load_der_private_key(der, password=None)
    assert isinstance(key, RSAPrivateKey)
    assert key.key_size == 2048
    assert load_der_public_key(b64decode(published)) == key.public_key()


def test_the_name_of_a_key_is_no_option_to_a_command_line() -> None:
    assert not any(new_api_key().key_id.startswith("-") for _ in range(1000))  # one in 64 would
