"""Parking: putting aside, with the reason, what cannot be handled."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType

import structlog
from prometheus_client import Counter

from scaisend_common.plumbing.amqp.delivery import DELIVERY_COUNT, Delivery
from scaisend_common.plumbing.amqp.fields import FieldValue
from scaisend_common.plumbing.amqp.publisher import Publisher

WHY = "x-parked-why"
WHY_MOST = 2000  # characters of the reason that travel; the log has all

log = structlog.get_logger()
_parked = Counter("scaisend_messages_parked_total", "Messages put aside because they could not be handled", ["queue"])


class Parking:
    """Publishes to the parking exchange with the queue's name as key, over a connection of its own that is opened at the first need."""

    def __init__(self, url: str, *, name: str, exchange: str) -> None:
        self._publisher = Publisher(url, name=f"{name}-parking", body_most=2**31)
        self._exchange = exchange
        self._opening = asyncio.Lock()
        self._is_open = False

    async def park(self, delivery: Delivery, why: str) -> None:
        """Return when the message is parked and confirmed. Raises Unavailable, Refused, Unroutable.

        A crash before the ack that follows parks it twice; it is never lost.
        """
        await self._open()
        own = {name: value for name, value in delivery.headers().items() if name != DELIVERY_COUNT}
        await park(self._publisher, self._exchange, delivery.queue, delivery.body, why, own)
        log.error("parked", queue=delivery.queue, why=why, size=len(delivery.body), failures=delivery.failures)

    async def close(self) -> None:
        """Close the connection, if there ever was one."""
        if self._is_open:
            self._is_open = False
            await self._publisher.__aexit__()

    async def _open(self) -> None:
        async with self._opening:
            if not self._is_open:
                self._is_open = True
                await self._publisher.__aenter__()


def reason_header(why: str) -> dict[str, str]:
    """The header that tells why a message was put aside, short enough for a frame. Pure."""
    return {WHY: why[:WHY_MOST].encode(errors="replace").decode()}


async def park(
    publisher: Publisher, exchange: str, queue: str, body: bytes, why: str, headers: Mapping[str, FieldValue] = MappingProxyType({})
) -> None:
    """Put aside a message of `queue`; returns when that is confirmed. Raises Unavailable, Refused, Unroutable."""
    reason = reason_header(why)
    try:
        parked = publisher.publish_nowait(exchange, queue, body, headers={**headers, **reason})
    except ValueError:  # the headers and the reason together fit into no frame
        parked = publisher.publish_nowait(exchange, queue, body, headers=reason)
    await parked
    _parked.labels(queue).inc()
