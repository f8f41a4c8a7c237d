"""What an API key lets its holder do, and how the text of a key proves itself. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from scaisend_common.messages import Stream
from scaisend_common.plumbing.crypto import KeyRing, api_key_mac, same

_NO_MAC = bytes(32)


@dataclass(frozen=True, slots=True)
class Grant:
    """A key's tenant, scopes and stream (None: decided per request). `mac` proves its text under the pepper `pepper_kid`."""

    tenant_id: str
    key_id: str
    scopes: frozenset[str]
    stream: Stream | None
    is_suspended: bool
    mac: bytes
    pepper_kid: str

    def allows(self, scope: str) -> bool:
        """Tell whether the key has a scope; one of full access has all."""
        return scope in self.scopes or "*" in self.scopes


def bearer_token(authorization: str) -> str:
    """Return the token of an Authorization header; empty where it carries none. The scheme's case does not count (RFC 9110 11.1)."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def proves(text: str, grant: Grant | None, peppers: KeyRing) -> bool:
    """Tell whether the text of a key is the one that `grant` was made for. An unknown key is compared all the same, and as long."""
    pepper = peppers.get(grant.pepper_kid) if grant else None
    mac = api_key_mac(pepper or peppers.current[1], text)
    return same(mac, grant.mac if grant and pepper else _NO_MAC)
