"""Publishing many messages at once: about a hundred in flight, confirmed together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from scaisend_common.plumbing.amqp import Publisher, Refused
from scaisend_scheduler.packing import Outgoing

IN_FLIGHT = 100  # more gains nothing (measured: 1,000 in flight were no faster than 100)


async def publish_all(publisher: Publisher, messages: Sequence[Outgoing]) -> None:
    """Return when the broker has confirmed every message. Raises the first failure (Unavailable, Refused, Unroutable).

    What was handed over before a failure may have been taken: whoever publishes again publishes repeats.
    """
    if refused := await publish_what_fits(publisher, messages):
        raise Refused(f"{len(refused)} of {len(messages)} messages met a queue at its bound")


async def publish_what_fits(publisher: Publisher, messages: Sequence[Outgoing]) -> list[Outgoing]:
    """Return, when the broker has answered for every message, those whose queue is at its bound. Raises Unavailable, Unroutable."""
    refused: list[Outgoing] = []
    for start in range(0, len(messages), IN_FLIGHT):
        refused += await _publish_flight(publisher, messages[start : start + IN_FLIGHT])
    return refused


async def _publish_flight(publisher: Publisher, flight: Sequence[Outgoing]) -> list[Outgoing]:
    confirms: list[asyncio.Future[None]] = []
    try:
        for each in flight:
            confirms.append(publisher.publish_nowait(each.exchange, each.key, each.body))  # noqa: PERF401 - the ones before a failure are awaited
    finally:
        outcomes = await asyncio.gather(*confirms, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(outcome, Refused):
            raise outcome
    return [each for each, outcome in zip(flight, outcomes, strict=True) if isinstance(outcome, Refused)]
