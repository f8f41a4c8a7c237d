"""Heavy steps one at a time: what many may do at once, each for milliseconds, would keep the event loop from all others meanwhile."""

from __future__ import annotations

import asyncio


class Turns:
    """In the order in which they come; between two of them the loop has a round for everybody else."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def turn(self) -> None:
        """Return when it is this one's turn. Cancelled while it waits, it is left out."""
        async with self._lock:
            await asyncio.sleep(0)
