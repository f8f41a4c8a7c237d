"""One message as the broker delivered it, until it is settled."""

from __future__ import annotations

from typing import Protocol

from scaisend_common.plumbing.amqp.fields import FieldValue, Malformed
from scaisend_common.plumbing.amqp.methods import headers_of

DELIVERY_COUNT = "x-delivery-count"


class Origin(Protocol):
    """The channel that a delivery came by, and on which alone it can be settled."""

    @property
    def is_live(self) -> bool:
        """The channel stands; once it does not, the broker delivers the message again."""

    def finish(self, tag: int) -> None:
        """Acknowledge."""

    def requeue(self, tag: int) -> None:
        """Give back."""


class Delivery:
    """Settling one whose channel has ended does nothing: the message comes again, marked redelivered."""

    __slots__ = ("_header", "_origin", "_tag", "arrived_at", "body", "failures", "is_suspect", "queue", "redelivered", "tries")

    def __init__(self, origin: Origin, queue: str, tag: int, redelivered: bool, header: bytes, body: bytes, arrived_at: float) -> None:
        self._origin = origin
        self._tag = tag
        self._header = header
        self.queue = queue
        self.redelivered = redelivered
        self.body = body
        self.arrived_at = arrived_at
        """Monotonic seconds."""
        self.is_suspect = False
        """It was in a batch that failed."""
        self.tries = 0
        """How often a handler of this process had it and it was kept."""
        count = self.headers().get(DELIVERY_COUNT) if redelivered else 0
        self.failures: int = count if isinstance(count, int) else 0
        """How often the broker delivered it before, as far as the broker counts."""

    def headers(self) -> dict[str, FieldValue]:
        """The message's headers; none when they cannot be read."""
        try:
            return headers_of(self._header)
        except Malformed:
            return {}

    @property
    def is_live(self) -> bool:
        """It can be settled."""
        return self._origin.is_live

    def ack(self) -> None:
        """Done with."""
        self._origin.finish(self._tag)

    def requeue(self) -> None:
        """Back to its queue."""
        self._origin.requeue(self._tag)

    def __repr__(self) -> str:
        return f"<Delivery {self.queue} #{self._tag} {len(self.body)} bytes, {self.tries} tries, {self.failures} failures>"
