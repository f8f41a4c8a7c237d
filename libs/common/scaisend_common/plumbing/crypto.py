"""Key rings, message authentication, sealing, and the making of API and DKIM keys.

A key ring is written `kid:base64[,kid:base64…]`, 32 bytes each: the first key is used for what is made from now on, the others still
read what they made. STANDARDS: RFC 2104 (HMAC), NIST SP 800-38D (AES-GCM), RFC 6376 3.6.1 (the p= value of a DKIM key).
"""

from __future__ import annotations

import binascii
import hmac
import re
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

KEY_BYTES = 32
NONCE_BYTES = 12
DKIM_BITS = 2048

_KID = re.compile(r"[A-Za-z0-9._-]{1,32}")
_API_KEY = re.compile(r"SG\.([A-Za-z0-9_-]{22})\.[A-Za-z0-9_-]{43}")


class CannotOpen(Exception):
    """Sealed bytes do not open: no such key in the ring, altered bytes, or bound to something else."""


class KeyRing(Mapping[str, bytes]):
    """Keys by kid, the current one first. Never shows a key in `repr`."""

    __slots__ = ("_current", "_keys")

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        if not keys:
            raise ValueError("a key ring needs at least one key")
        for kid, key in keys.items():
            if not _KID.fullmatch(kid):
                raise ValueError("a kid is 1 to 32 letters, digits, dots, dashes or underscores")
            if len(key) != KEY_BYTES:
                raise ValueError(f"key {kid} has {len(key)} bytes instead of {KEY_BYTES}")
        self._keys = dict(keys)
        self._current = next(iter(self._keys.items()))

    @classmethod
    def parse(cls, text: str) -> KeyRing:
        """Read `kid:base64,kid:base64`. Raises ValueError, which never quotes a key."""
        keys: dict[str, bytes] = {}
        for each in text.split(","):
            kid, colon, encoded = each.strip().partition(":")
            if not colon:
                raise ValueError("expected kid:base64[,kid:base64…]")
            if kid in keys:
                raise ValueError(f"kid {kid} occurs twice")
            keys[kid] = _decoded(encoded)
        return cls(keys)

    @property
    def current(self) -> tuple[str, bytes]:
        """The kid and key for what is made from now on."""
        return self._current

    def __getitem__(self, kid: str) -> bytes:
        return self._keys[kid]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._keys)})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(lambda value: value if isinstance(value, KeyRing) else cls.parse(str(value)))


def new_key_ring(kid: str = "k1") -> str:
    """Return the text of a ring with one new random key."""
    return f"{kid}:{b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"


def mac(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA-256, 32 bytes; over a copy of the keyed state, because OpenSSL takes longer to set one up than to hash a few octets."""
    keyed = _keyed(key).copy()
    keyed.update(data)
    return keyed.digest()


@lru_cache(64)
def _keyed(key: bytes) -> hmac.HMAC:
    return hmac.new(key, digestmod="sha256")


def same(one: bytes, other: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(one, other)


def seal(ring: KeyRing, plaintext: bytes, bound_to: str) -> tuple[str, bytes]:
    """Return (kid, nonce and AES-256-GCM of `plaintext`); opens only with the same `bound_to`."""
    kid, key = ring.current
    nonce = secrets.token_bytes(NONCE_BYTES)
    return kid, nonce + AESGCM(key).encrypt(nonce, plaintext, bound_to.encode())


def open_sealed(ring: KeyRing, kid: str, sealed: bytes, bound_to: str) -> bytes:
    """Return the plaintext that `seal` was given, or raise CannotOpen."""
    key = ring.get(kid)
    if key is None:
        raise CannotOpen(f"no key {kid} in the ring")
    if len(sealed) < NONCE_BYTES + 16:
        raise CannotOpen("too short to be sealed")
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to.encode())
    except InvalidTag:
        raise CannotOpen(f"key {kid} does not open it for {bound_to}") from None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """`text` is `SG.<key_id>.<secret>`, shown once; `key_id` is its public name."""

    text: str
    key_id: str

    def __repr__(self) -> str:
        return f"ApiKey(SG.{self.key_id}.…)"


def new_api_key() -> ApiKey:
    """Make an API key: 128 bits of name, 256 bits of secret. A name that began with a hyphen would be an option to a command line."""
    while (key_id := secrets.token_urlsafe(16)).startswith("-"):
        pass
    return ApiKey(f"SG.{key_id}.{secrets.token_urlsafe(32)}", key_id)


def key_id_of(text: str) -> str | None:
    """Return the key id in the text of an API key, or None where it has not the form of one."""
    form = _API_KEY.fullmatch(text)
    return form[1] if form else None


def api_key_mac(pepper: bytes, text: str) -> bytes:
    """Return what is stored of an API key: HMAC-SHA-256 over its whole text."""
    return mac(pepper, text.encode())


def new_dkim_key() -> tuple[bytes, str]:
    """Make an RSA-2048 key (0.1 to 1 s of CPU); return its PKCS#8 DER and the public p= value."""
    key = generate_private_key(public_exponent=65537, key_size=DKIM_BITS)
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()), b64encode(public).decode()


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a key is not base64") from None
