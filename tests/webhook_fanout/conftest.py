"""A customer's endpoint: a real HTTP server that does as its path says and keeps what it was posted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web


@dataclass
class EndpointServer:
    port: int = 0
    posts: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    connections: int = 0
    status: int = 200

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.connections += 1
        self.posts.append((request.path, dict(request.headers), await request.read()))
        match request.path:
            case "/redirect":
                return web.Response(status=302, headers={"Location": self.url("/elsewhere")})
            case "/hang":
                await asyncio.sleep(30)
                return web.Response()
            case "/endless":
                response = web.StreamResponse()
                await response.prepare(request)
                try:
                    while True:
                        await response.write(b"x" * 65536)
                except (ConnectionError, asyncio.CancelledError):
                    return response
            case "/long-header":
                return web.Response(headers={"X-Long": "x" * 100_000})
            case "/bomb":
                return web.Response(body=b"\x1f\x8b" + b"0" * 1000, headers={"Content-Encoding": "gzip"})
        return web.Response(status=self.status)


@pytest.fixture
async def endpoint_server() -> AsyncIterator[EndpointServer]:
    server = EndpointServer()
    application = web.Application()
    application.router.add_post("/{path:.*}", server.take)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    yield server
    await runner.cleanup()
