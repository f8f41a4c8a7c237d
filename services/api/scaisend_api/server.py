"""The HTTP server: uvicorn with httptools, as a loop that is told to stop and ends when every request in work has its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from scaisend_api.application import Application

HEAD_BYTES = 64 * 1024  # of request line and headers
KEEP_ALIVE_SECONDS = 75
BACKLOG = 2048


class _BoundedProtocol(HttpToolsProtocol):
    """Closes a connection whose request has no end of headers: httptools itself collects them without bound."""

    _head_bytes = 0  # of the request whose headers are not complete

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("Request header fields too large.")

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._head_bytes = -1 << 62  # what follows is body, until the next message begins

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0


class _Server(Server):
    """Uvicorn's server without its signal handlers, which the service runner has; it wakes once a second instead of ten times."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._told_to_stop = asyncio.Event()

    def tell_to_stop(self) -> None:
        """Let `serve` end."""
        self.should_exit = True
        self._told_to_stop.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # which also sets the Date header of the second to come
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._told_to_stop.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """Serves an application on host and port until `stop`."""

    def __init__(self, application: Application, host: str, port: int, grace: timedelta) -> None:
        self._application = application
        self._server = _Server(
            Config(
                application,
                host=host,
                port=port,
                http=_BoundedProtocol,
                ws="none",
                lifespan="off",
                interface="asgi3",
                loop="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=max(1, int(grace.total_seconds()) - 3),
                backlog=BACKLOG,
            )
        )

    async def run(self) -> None:
        """Serve."""
        await self._server.serve()

    async def stop(self) -> None:
        """Accept nothing new; `run` returns when what is in work is answered, or the grace period is nearly over."""
        self._application.is_stopping = True
        self._server.tell_to_stop()
