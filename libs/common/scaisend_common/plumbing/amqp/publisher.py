"""Confirmed publishing over one connection."""

from __future__ import annotations

from datetime import timedelta


class Publisher:
    """Publishes persistent, mandatory messages with confirms; reconnects by itself; an async context manager."""

    def __init__(self, url: str, *, name: str, timeout: timedelta = timedelta(seconds=4)) -> None: ...

    async def __aenter__(self) -> Publisher: ...

    async def __aexit__(self, *exc: object) -> None: ...

    async def publish(self, exchange: str, key: str, body: bytes, *, mandatory: bool = True, headers: dict[str, str] | None = None) -> None:
        """Return when the broker confirmed. Raises Unavailable, Refused, Unroutable.

        While the broker has this connection blocked, or no connection stands, it raises Unavailable at once with nothing written.
        """

    @property
    def is_ready(self) -> bool:
        """A connection stands and is not blocked."""
