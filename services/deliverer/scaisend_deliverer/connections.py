"""The connections of one path: kept warm, bounded, never opened to a host that is left alone."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client import Counter, Gauge
from structlog import get_logger

from scaisend_common.mail.events import Hop
from scaisend_common.mail.verdict import Deferred
from scaisend_deliverer.hosts import Hosts
from scaisend_deliverer.opening import NotOpened, open_session
from scaisend_deliverer.session import Session
from scaisend_deliverer.source import Source
from scaisend_deliverer.target import Target
from scaisend_deliverer.timers import Timers

log = get_logger()

IDLE_SECONDS = 30.0
MOST_SESSIONS = 2  # servers that spoke and then would not, in one attempt (as Postfix)
CONNECTIONS = Gauge("scaisend_connections", "SMTP connections that stand or are being opened")
OPENED = Counter("scaisend_connections_opened", "SMTP connections by how opening ended", ["result"])


@dataclass(frozen=True, slots=True)
class Unreached:
    """No host would open a session: the attempt is deferred."""

    verdict: Deferred
    hop: Hop


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """Every host is left alone until `seconds` from now: no attempt is made."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Egress:
    """How this process connects; the same for all paths. `tls` None: never."""

    source: Source
    port: int
    timers: Timers
    tls: ssl.SSLContext | None
    mails_per_connection: int


class Connections:
    """`borrow` lends a session, `give_back` ends the loan; `room` closes idle ones so that another fits in."""

    def __init__(self, egress: Egress, hosts: Hosts) -> None:
        self._egress = egress
        self._hosts = hosts
        self._idle: list[Session] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self.open = 0
        """Connections that stand or are being opened."""

    @property
    def idle(self) -> int:
        """How many are lent to nobody."""
        return len(self._idle)

    async def borrow(self, targets: Sequence[Target], most: int, deadline: float) -> Session | Unreached | LeftAlone:
        """Return a session with the best host that can be had. The path keeps to `most` connections; the caller is to be one of so many."""
        now = self._loop.time()
        usable = self._hosts.usable(targets, now)
        if not usable:
            return LeftAlone(max(0.0, self._hosts.next_try(targets) - now))
        best = usable[0].preference
        if (warm := self._take_idle({target.host for target in usable if target.preference == best})) is not None:
            return warm
        await self._make_room(most)
        self._count(1)
        session: Session | Unreached | None = None
        try:
            session = await self._open(usable, deadline)
        finally:
            if not isinstance(session, Session):
                self._count(-1)
        return session

    def give_back(self, session: Session, *, keep: bool) -> None:
        """End a loan; a session that cannot be used again, or shall not be kept, is closed."""
        if keep and session.is_usable and session.mails < self._egress.mails_per_connection:
            session.idle_since = self._loop.time()
            self._idle.append(session)
        else:
            self._close(session)

    def close_idle(self, before: float) -> None:
        """Close those that have been idle since `before` (loop time) or longer, and those that their server has closed."""
        for session in list(self._idle):
            if session.idle_since <= before or not session.is_usable:
                self._idle.remove(session)
                self._close(session)

    async def closed(self) -> None:
        """Close all that are idle; return when they and those that were closing are gone."""
        self.close_idle(float("inf"))
        while self._closing:
            await asyncio.wait(self._closing)

    def _take_idle(self, hosts: set[str]) -> Session | None:
        for index in range(len(self._idle) - 1, -1, -1):
            if self._idle[index].target.host in hosts and self._idle[index].is_usable:
                return self._idle.pop(index)
        return None

    async def _make_room(self, most: int) -> None:
        """Wait until one more connection stays within `most`; idle ones go, oldest first, and are gone before another comes."""
        while self.open >= most:
            if self._idle:
                self._close(self._idle.pop(0))
            if not self._closing:
                return
            await asyncio.wait(self._closing, return_when=asyncio.FIRST_COMPLETED)

    async def _open(self, targets: Sequence[Target], deadline: float) -> Session | Unreached:
        """Try one target after the other."""
        spoke = 0
        last = Unreached(Deferred("no host was tried"), Hop())
        for target in targets:
            opened = await self._open_one(target, deadline)
            if isinstance(opened, Session):
                OPENED.labels("opened").inc()
                self._hosts.worked(target)
                return opened
            OPENED.labels("refused" if opened.answered else "unreached").inc()
            log.info("host_left_alone", mx=str(target), why=opened.verdict.why)
            self._hosts.failed(target, self._loop.time(), random.random())  # noqa: S311 - no secret
            last = Unreached(opened.verdict, Hop(mx_host=target.host, mx_ip=target.address, source_ip=self._egress.source.ip))
            spoke += opened.answered
            if spoke >= MOST_SESSIONS or self._loop.time() >= deadline:
                break
        return last

    async def _open_one(self, target: Target, deadline: float) -> Session | NotOpened:
        """Open a session; where TLS fails, once more in clear on a new connection: worse than TLS and better than no mail (RFC 7435)."""
        egress = self._egress
        tls = None if self._hosts.wants_clear(target, self._loop.time()) else egress.tls
        opened = await open_session(target, egress.source, port=egress.port, timers=egress.timers, tls=tls, deadline=deadline)
        if tls is None or not isinstance(opened, NotOpened) or not opened.tls_failed:
            return opened
        OPENED.labels("tls_failed").inc()
        log.warning("tls_failed", mx=str(target), why=opened.verdict.why)
        clear = await open_session(target, egress.source, port=egress.port, timers=egress.timers, tls=None, deadline=deadline)
        if isinstance(clear, Session):
            self._hosts.tls_failed(target, self._loop.time())
        return clear

    def _close(self, session: Session) -> None:
        closing = asyncio.create_task(self._leave(session))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _leave(self, session: Session) -> None:
        try:
            await session.leave()
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        self.open += change
        CONNECTIONS.inc(change)

    def __repr__(self) -> str:
        return f"<Connections: {self.open} open, {len(self._idle)} idle>"
