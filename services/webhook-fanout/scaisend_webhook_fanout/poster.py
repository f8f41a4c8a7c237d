"""One POST to one endpoint: its outcome is a value. No redirects, no cookies, no decompression, 15 seconds in all, a few KiB read."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from scaisend_webhook_fanout.guard import Guard, url_problem

TOTAL_SECONDS = 15
CONNECT_SECONDS = 3
READ_LIMIT = 4096  # bytes of an answer that are read before the connection is given up
HEADER_LIMIT = 8190


@dataclass(frozen=True, slots=True)
class Taken:
    """The endpoint answered 2xx: the events are its."""


@dataclass(frozen=True, slots=True)
class NotTaken:
    """Anything else; `why` names the status or what went wrong."""

    why: str


PostOutcome = Taken | NotTaken


class Poster:
    """Posts bodies; an async context manager around one HTTP client."""

    def __init__(self, *, allow_private: bool, total_seconds: float = TOTAL_SECONDS) -> None:
        self._guard = Guard(allow_private=allow_private)
        self._total_seconds = total_seconds

    async def __aenter__(self) -> Poster:
        self._session = ClientSession(
            connector=TCPConnector(socket_factory=self._guard, use_dns_cache=False, limit=200, limit_per_host=8),
            timeout=ClientTimeout(total=self._total_seconds, connect=CONNECT_SECONDS),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            max_line_size=HEADER_LIMIT,
            max_field_size=HEADER_LIMIT,
        )
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._session.close()

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> PostOutcome:
        """Post `body` with `headers` beside SendGrid's own. Never raises for what an endpoint or the network does."""
        if problem := url_problem(url):
            return NotTaken(problem)
        try:
            async with self._session.post(url, data=body, headers=_HEADERS | headers, allow_redirects=False) as answer:
                await answer.content.read(READ_LIMIT)
                return Taken() if 200 <= answer.status < 300 else NotTaken(f"status {answer.status}")
        except TimeoutError:
            return NotTaken(f"no answer within {self._total_seconds:g} s")
        except (ClientError, OSError, ValueError) as error:  # ValueError: what aiohttp says of a URL it cannot use
            return NotTaken(f"{type(error).__name__}: {error}"[:500])


_HEADERS = {
    "Content-Type": "application/json;charset=utf-8",
    "User-Agent": "SendGrid Event API",  # receivers filter by this name
    "Accept-Encoding": "identity",
}
