"""Settings of bounce-inbound."""

from __future__ import annotations

from scaisend_common.plumbing.crypto import KeyRing
from scaisend_common.plumbing.settings import CommonSettings


class Settings(CommonSettings):
    """`token_secret` is the ring that the deliverer signs return paths with."""

    token_secret: KeyRing
    inbound_host: str = "127.0.0.1"
    inbound_port: int = 25
    inbound_name: str = "localhost"  # the name in banner and EHLO; should be the name that the MX records point at
    inbound_connections: int = 100  # each may hold a mail of 10 MB
    inbound_connections_per_ip: int = 10
