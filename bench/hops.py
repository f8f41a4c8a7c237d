"""Where the time of a steady sender's mail went: from the timeline, hop by hop."""

from __future__ import annotations

import asyncio
from statistics import median
from time import perf_counter, time

import asyncpg

from bench.floods import Sent, Steady
from bench.house import House
from bench.scenes import p99
from devstack.settings import server_urls

_TIMELINE = """
SELECT m.to_email, extract(epoch FROM p.at)::float8, extract(epoch FROM d.at)::float8, coalesce((d.body->'hop'->>'ms')::float8, 0)
FROM messages m JOIN events p USING (tenant_id, day, delivery_id) JOIN events d USING (tenant_id, day, delivery_id)
WHERE p.kind = 'processed' AND d.kind = 'delivered' AND m.to_email LIKE 'steady+%'
"""


def hops(made: House, steady: Steady, sent: Sent, first: float, last: float) -> dict[str, list[float]]:
    """Return median and 99th percentile in ms of each hop, of mails due between two instants.

    `accept`: until the api has read it; `queues`: until its attempt begins (submit queue, route, deliver queue, ready queue);
    `attempt`: from there to the answer to its final dot.
    """
    wall = time() - perf_counter()
    found: dict[str, list[float]] = {"accept": [], "queues": [], "attempt": []}
    timeline = asyncio.run(_timeline(made))
    for n in range(sent.count):
        due = sent.begun + n / steady.rate
        if first <= due < last and (times := timeline.get(steady.recipient(n))):
            accepted_at, delivered_at, ms = times
            found["accept"].append(accepted_at - due - wall)
            found["queues"].append(delivered_at - ms / 1000 - accepted_at)
            found["attempt"].append(ms / 1000)
    return {hop: [round(median(waits) * 1000), round(p99(waits) * 1000)] for hop, waits in found.items() if waits}


async def _timeline(made: House) -> dict[str, tuple[float, float, float]]:
    connection = await asyncpg.connect(server_urls(made.place).postgres_dsn)
    try:
        return {row[0]: (row[1], row[2], row[3]) for row in await connection.fetch(_TIMELINE, timeout=300)}
    finally:
        await connection.close()
