"""No post reaches the inside: the address is judged on the socket that is about to be connected (reliability: SSRF, DNS rebinding).

A resolver alone would not do: literals skip it, and a name may answer differently the second time.
"""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from aiohttp import AddrInfoType

from scaisend_common.mail.destination import is_prohibited


class ForbiddenDestination(OSError):
    """The endpoint is, or resolves to, an address that customers may not reach through us."""


def url_problem(url: str) -> str | None:
    """Tell what is wrong with an endpoint's URL, or None. A user name and password in it are sent as Basic authentication."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return str(error)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return "only http and https URLs with a host"
    return "port 0" if port == 0 else None


class Guard:
    """The socket factory of the HTTP client; `allow_private` is a development setting."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private

    def __call__(self, address: AddrInfoType) -> socket.socket:
        """Make the socket for one address, or raise ForbiddenDestination."""
        family, kind, protocol, _, target = address
        if not self._allow_private and is_prohibited(str(target[0])):
            raise ForbiddenDestination(f"{target[0]} is not a public address")
        return socket.socket(family, kind, protocol)
