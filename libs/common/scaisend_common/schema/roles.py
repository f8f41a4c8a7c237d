"""The roles that services log in as, and what every session of theirs is bound by."""

from __future__ import annotations

import secrets
from base64 import b64encode
from hashlib import pbkdf2_hmac, sha256
from hmac import digest

SERVICES = ("api", "scheduler", "deliverer", "bounce_inbound", "webhook_fanout")
SERVICE_ROLES = tuple(f"scaisend_{service}" for service in SERVICES)

# A statement that outlives these has met a lock or a plan that nobody planned; the service retries it.
ROLE_SETTINGS = {
    "statement_timeout": "30s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "60s",
    "timezone": "UTC",
}

_ITERATIONS = 4096


def scram_verifier(password: str, salt: bytes | None = None) -> str:
    """Return what Postgres keeps of a password (RFC 5803), so that the password itself is in no statement and no server log."""
    salt = salt or secrets.token_bytes(16)
    salted = pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS)
    stored = sha256(digest(salted, b"Client Key", "sha256")).digest()
    server = digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${_ITERATIONS}:{_text(salt)}${_text(stored)}:{_text(server)}"


def _text(value: bytes) -> str:
    return b64encode(value).decode()
