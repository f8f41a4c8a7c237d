"""Settings of webhook-fanout."""

from __future__ import annotations

from pydantic import Field

from scaisend_common.plumbing.crypto import KeyRing
from scaisend_common.plumbing.settings import CommonSettings


class Settings(CommonSettings):
    """`kek` opens the signing keys; `webhook_window_seconds` is how long a post collects events."""

    kek: KeyRing
    webhook_window_seconds: float = Field(1.0, gt=0, le=60)
    webhook_prefetch: int = Field(500, ge=1, le=2000)
