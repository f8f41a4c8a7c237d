"""The signature of a post: ECDSA P-256 with SHA-256 over timestamp and raw body (contract section 12)."""

from __future__ import annotations

from base64 import b64encode

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key

SIGNATURE_HEADER = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP_HEADER = "X-Twilio-Email-Event-Webhook-Timestamp"


def signing_key(der: bytes) -> EllipticCurvePrivateKey:
    """Read a P-256 key from PKCS#8 DER; raises ValueError for any other."""
    key = load_der_private_key(der, password=None)
    if not isinstance(key, EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise ValueError("webhooks are signed with a P-256 key")
    return key


def signature_headers(key: EllipticCurvePrivateKey, timestamp: int, body: bytes) -> dict[str, str]:
    """Return both headers for exactly these bytes; `timestamp` in unix seconds."""
    signed = str(timestamp)
    return {
        SIGNATURE_HEADER: b64encode(key.sign(signed.encode() + body, ECDSA(SHA256()))).decode(),
        TIMESTAMP_HEADER: signed,
    }
