from __future__ import annotations

from base64 import b64encode

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from sendgrid.helpers.eventwebhook import EventWebhook

from scaisend_webhook_fanout.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER, signature_headers, signing_key

KEY = generate_private_key(SECP256R1())
PUBLIC = b64encode(KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
VERIFIER = EventWebhook(PUBLIC)


@given(st.text(), st.integers(min_value=0, max_value=2**40))
def test_the_official_helper_accepts_what_we_sign(text: str, timestamp: int) -> None:
    body = text.encode("utf-8", "replace") + b"]\r\n"
    headers = signature_headers(KEY, timestamp, body)
    assert VERIFIER.verify_signature(body.decode(), headers[SIGNATURE_HEADER], headers[TIMESTAMP_HEADER])


def test_the_official_helper_refuses_another_body() -> None:
    headers = signature_headers(KEY, 1, b"[]\r\n")
    assert not VERIFIER.verify_signature("[]\n", headers[SIGNATURE_HEADER], headers[TIMESTAMP_HEADER])


def test_a_key_survives_its_storage_form() -> None:
    der = KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert signing_key(der).private_numbers() == KEY.private_numbers()
    assert len(PUBLIC) == 124
