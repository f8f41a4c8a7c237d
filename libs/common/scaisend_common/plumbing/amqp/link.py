"""Keeping a connection: connect, work, and connect again after its end, later each time that it was short."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

import structlog

from scaisend_common.plumbing.amqp.channel import ChannelClosed
from scaisend_common.plumbing.amqp.connection import HEARTBEAT, Connection, connect
from scaisend_common.plumbing.amqp.settlement import Unavailable
from scaisend_common.plumbing.amqp.url import BrokerUrl

FIRST_DELAY, LONGEST_DELAY = 0.2, 10.0  # seconds
LONG_ENOUGH = 10.0  # seconds after which a connection counts as having been good

log = structlog.get_logger()


def delay_after(failures: int, jitter: float, *, first: float = FIRST_DELAY, longest: float = LONGEST_DELAY) -> float:
    """Seconds to wait after so many failures in a row: doubling from `first` to `longest`, of which `jitter` (0 to 1) takes up to half."""
    return min(longest, first * 2.0 ** min(failures, 30)) * (1 - jitter / 2)


async def keep_connected(
    broker: BrokerUrl, work: Callable[[Connection], Awaitable[None]], *, name: str, heartbeat: int = HEARTBEAT
) -> None:
    """Connect and let `work` use the connection until it returns or raises Unavailable or ChannelClosed; then again.

    Ends by cancellation only.
    """
    failures = 0
    while True:
        began_at = time.monotonic()
        try:
            connection = await connect(broker, name=name, heartbeat=heartbeat)
            try:
                await work(connection)
                why = connection.ended.result() if connection.ended.done() else "its work ended"
            finally:
                await connection.close()
        except (Unavailable, ChannelClosed) as error:
            why = str(error)
        failures = 0 if time.monotonic() - began_at > LONG_ENOUGH else failures + 1
        delay = delay_after(failures, random.random())  # noqa: S311 - spreads reconnections, guards nothing
        log.warning("amqp_connection_ended", connection=name, why=why, again_in=round(delay, 2))
        await asyncio.sleep(delay)
