"""The MX hosts, each on its own loopback address, all on one port: a deliverer under test dials one port for the whole internet."""

from __future__ import annotations

import asyncio
import ssl
from functools import partial

from sandbox.smtp_server import Desk, Session
from sandbox.zones import MxHost


class MxListeners:
    """Every MX host on its own address, all on one port."""

    def __init__(self, hosts: tuple[MxHost, ...], desk: Desk, context: ssl.SSLContext) -> None:
        self._hosts = hosts
        self._desk = desk
        self._context = context
        self._servers: list[asyncio.Server] = []
        self._sessions: set[Session] = set()
        self.port = 0

    async def listen(self, port: int, *, tries: int = 20) -> None:
        """Listen; port 0 takes one that is free on every address. Raises OSError."""
        for attempt in range(1, tries + 1):
            free = port
            try:
                for host in self._hosts:
                    server = await asyncio.get_running_loop().create_server(partial(self._session, host), host.address, free, backlog=1024)
                    self._servers.append(server)
                    free = server.sockets[0].getsockname()[1]
            except OSError:
                self._stop_listening()
                if port or attempt == tries:
                    raise
            else:
                self.port = free
                return

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        self._stop_listening()
        for session in tuple(self._sessions):
            session.hang_up()
        await asyncio.sleep(0)  # connection_lost is called in the loop's next turn

    def _stop_listening(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()

    def _session(self, host: MxHost) -> Session:
        session = Session(host, self._desk, self._context, self._sessions.discard)
        self._sessions.add(session)
        return session
