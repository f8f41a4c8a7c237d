"""A customer's endpoint: a real HTTP server that takes, refuses, hangs or is not there, and keeps every post."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from tests.e2e.conftest import Town
from tests.e2e.fleet import call, eventually

KINDS = ("processed", "delivered", "deferred", "bounce", "dropped", "spam_report")
SETTINGS = "/v3/user/webhooks/event/settings"
Event = dict[str, Any]


@dataclass(frozen=True)
class Post:
    """One that came, and how it was answered."""

    body: bytes
    headers: dict[str, str]  # names in lower case
    status: int

    def events(self) -> list[Event]:
        return list(json.loads(self.body))


@dataclass
class Endpoint:
    """`status` is answered from now on; while `go` is cleared, nothing is answered at all."""

    port: int
    posts: list[Post] = field(default_factory=list)
    status: int = 200
    go: asyncio.Event = field(default_factory=asyncio.Event)
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events"

    async def start(self) -> None:
        application = web.Application(client_max_size=2**24)
        application.router.add_post("/events", self._take)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()

    async def stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    def of(self, email: str, *, status: int = 200) -> list[Event]:
        """The events of one recipient in posts that were answered so, in the order of their coming."""
        return [event for post in [*self.posts] if post.status == status for event in post.events() if event["email"] == email]

    async def hears(self, name: str, email: str, within: float = 30) -> Event:
        """The first event of that name for a recipient, once it is there."""

        def look() -> Event | None:
            return next((event for event in self.of(email) if event["event"] == name), None)

        return await eventually(look, within=within, why=f"{name} of {email}; there are {[e['event'] for e in self.of(email)]}")

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        await self.go.wait()
        self.posts.append(Post(body, {name.lower(): value for name, value in request.headers.items()}, self.status))
        return web.Response(status=self.status)


@asynccontextmanager
async def listening(town: Town) -> AsyncIterator[Endpoint]:
    """An endpoint that the town's tenant has all its events posted to, while the block runs."""
    endpoint = Endpoint(town.fleet.free_port())
    endpoint.go.set()
    await endpoint.start()
    configure(town, enabled=True, url=endpoint.url, **dict.fromkeys(KINDS, True))
    try:
        yield endpoint
    finally:
        configure(town, enabled=False)
        endpoint.go.set()
        await endpoint.stop()


def configure(town: Town, **form: Any) -> Event:
    """PATCH the tenant's settings; return what they are now."""
    status, _, body = call("PATCH", f"{town.fleet.api_url}{SETTINGS}", form, town.api_key)
    assert status == 200, body
    return dict(json.loads(body))


def sign(town: Town) -> str:
    """Switch signing on; return the public key as its owner is shown it."""
    status, _, body = call("PATCH", f"{town.fleet.api_url}{SETTINGS}/signed", {"enabled": True}, town.api_key)
    assert status == 200, body
    return str(json.loads(body)["public_key"])
