"""A path of 100 ms: a proxy that holds back whatever goes through it, `python -m bench.delay ADDRESS PORT TO SECONDS`.

Each direction is delayed, none is slowed: bytes that come together leave together, however many they are.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from typing import cast


class Held:
    """What is on its way in one direction, in the order in which it came; the end of the stream travels as the bytes do."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._held: deque[tuple[float, bytes | None]] = deque()
        self._to: asyncio.Transport | None = None

    def lead_to(self, transport: asyncio.Transport) -> None:
        """Say where it goes; until then it waits here."""
        self._to = transport
        self._release()

    def hold(self, data: bytes | None) -> None:
        """Take bytes, or None: there will be no more."""
        self._held.append((self._loop.time() + self._seconds, data))
        if self._to and len(self._held) == 1:
            self._loop.call_at(self._held[0][0], self._release)

    def _release(self) -> None:
        assert self._to
        while self._held and self._held[0][0] <= self._loop.time():
            _, data = self._held.popleft()
            if data is None:
                self._to.close()
            else:
                self._to.write(data)
        if self._held:
            self._loop.call_at(self._held[0][0], self._release)


class End(asyncio.Protocol):
    """One end of a connection: what it hears is held for the other."""

    def __init__(self, heard: Held, said: Held) -> None:
        self._heard, self._said = heard, said

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._said.lead_to(cast("asyncio.Transport", transport))

    def data_received(self, data: bytes) -> None:
        self._heard.hold(data)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._heard.hold(None)


async def main(address: str, port: int, to: str, seconds: float) -> None:
    """Proxy until standard input ends. asyncio's own loop: that of uvloop knows only whole milliseconds."""
    loop = asyncio.get_running_loop()
    connecting: set[asyncio.Task[object]] = set()

    def accept() -> End:
        there, back = Held(seconds), Held(seconds)
        task: asyncio.Task[object] = asyncio.ensure_future(loop.create_connection(lambda: End(back, there), to, port))
        connecting.add(task)
        task.add_done_callback(connecting.discard)
        return End(there, back)

    await loop.create_server(accept, address, port)
    print("listening", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])))
