"""Settings of the api."""

from __future__ import annotations

from pydantic import Field

from scaisend_common.plumbing.crypto import KeyRing
from scaisend_common.plumbing.settings import CommonSettings, Port


class Settings(CommonSettings):
    """`key_pepper` proves API keys, `kek` seals webhook signing keys.

    A request with more than `bulk_above` recipients is bulk, and so is what a key sends beyond `transactional_rate` recipients a second
    once its `transactional_burst` is used up: all of it, until the key was slower long enough to make up for it (a burst at most).
    """

    key_pepper: KeyRing
    kek: KeyRing
    api_host: str = "127.0.0.1"
    api_port: Port = 8080
    bulk_above: int = Field(50, ge=1, le=1000)
    transactional_rate: float = Field(200, gt=0)
    transactional_burst: float = Field(400, ge=1)  # two seconds of it: all of it stands before the next tenant's mail
    custom_args_bytes: int = Field(50_000, ge=1, le=1_000_000)
