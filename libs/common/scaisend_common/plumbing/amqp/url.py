"""Where a broker is: `amqp://user:password@host:port/vhost`, every part percent-encoded; `amqps://` speaks TLS.

STANDARDS: the RabbitMQ URI specification. No path at all means the vhost `/`; a lone slash means the vhost with the empty name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class BrokerUrl:
    """A broker's address, a login and a vhost."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    vhost: str
    tls: bool


def parse_url(url: str) -> BrokerUrl:
    """Read an AMQP URL. Raises ValueError; the text never shows the password."""
    parts = urlsplit(url)
    if parts.scheme not in ("amqp", "amqps"):
        raise ValueError(f"the broker's URL begins with amqp:// or amqps://, not {parts.scheme!r}")
    try:
        port = parts.port
    except ValueError:
        raise ValueError("the broker's URL has a port that is no number, or a password that is not percent-encoded") from None
    tls = parts.scheme == "amqps"
    return BrokerUrl(
        host=unquote(parts.hostname or "localhost"),
        port=port or (5671 if tls else 5672),
        user=unquote(parts.username or "guest"),
        password=unquote(parts.password or "guest"),
        vhost=unquote(parts.path[1:]) if parts.path else "/",
        tls=tls,
    )
