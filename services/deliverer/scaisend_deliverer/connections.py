"""The connections of one path: kept warm, bounded, never opened to a host that is left alone."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable, Sequence
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
from scaisend_deliverer.transaction import Transaction

log = get_logger()

IDLE_SECONDS = 30.0
MOST_SESSIONS = 2  # servers that spoke and then would not, in one attempt (as Postfix)
QUICK = 0.05  # seconds for taking a mail, in which no other connection is worth having: opening one takes four round trips
NEAR = 0.01  # in which the next mail is still being signed when the one before is gone: only a third's commands can go along
WITHIN_LIMIT = 0.5  # seconds; where no other connection may be had, waiting for a slower one saves a round trip still
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
    """`begin` gives a transaction over one of them, `end` takes it back."""

    def __init__(self, egress: Egress, hosts: Hosts) -> None:
        self._egress = egress
        self._hosts = hosts
        self._lent: list[Session] = []
        self._idle: list[Session] = []
        self._apart: Session | None = None  # for mail that goes first, as long as it stands
        self._begun = 0  # transactions, with those that wait in line
        self._closing: set[asyncio.Task[None]] = set()
        self._change: asyncio.Future[None] | None = None  # somebody waits for a connection to be free, or gone
        self._loop = asyncio.get_running_loop()
        self.open = 0
        """Connections that stand or are being opened."""

    @property
    def idle(self) -> int:
        """How many are lent to nobody."""
        return len(self._idle)

    @property
    def behind(self) -> int:
        """How many transactions wait in line behind another, and need no connection of their own."""
        return self._begun - len(self._lent)

    def places(self, most: int) -> int:
        """Return how many transactions could stand in line behind one that has its turn, on top of one for each of `most` connections."""
        return 0 if self.open > most else sum(self._can_be_followed(session, WITHIN_LIMIT) for session in self._lent)

    async def begin(
        self, targets: Sequence[Target], most: Callable[[], int], deadline: float, *, at_once: bool = False, sets_apart: bool = False
    ) -> Transaction | Unreached | LeftAlone:
        """Return a transaction with the best host that can be had, over one of `most` connections that the path may have at the time.

        A server that is quick to take mails gets them over few connections, one behind the other: a write, a read and a round trip each.
        `at_once`: rather over one that is free. `sets_apart`: more such mail may follow, and finds one free: others leave one connection
        alone as long as it stands, unless the path may have no further one.
        """
        while True:
            now = self._loop.time()
            usable = self._hosts.usable(targets, now)
            if not usable:
                return LeftAlone(max(0.0, self._hosts.next_try(targets) - now))
            if now >= deadline:
                return LeftAlone(0.0)
            best = {target.host for target in usable if target.preference == usable[0].preference}
            may_follow, is_full = self.open <= most(), self.open >= most()
            spared = None if at_once or is_full else self._apart
            session = self._take_idle(best) if at_once else None
            session = session or (self._in_line(best, spared, third=not at_once) if may_follow else None) or self._take_idle(best, spared)
            if session is None and may_follow and is_full and not self._idle:
                session = self._followed(best, WITHIN_LIMIT)
            if session is not None:
                return self._begin(session, sets_apart=sets_apart)
            if self.open < most():
                break
            await self._room(deadline - now)
        self._count(1)
        opened: Session | Unreached | None = None
        try:
            opened = await self._open(usable, deadline)
        finally:
            if not isinstance(opened, Session):
                self._count(-1)
        return self._begin(opened, sets_apart=sets_apart) if isinstance(opened, Session) else opened

    def end(self, transaction: Transaction, *, keep: bool) -> None:
        """Take back a transaction; a connection that cannot be used again, or shall not be kept, is closed after its last one."""
        session = transaction.session
        session.end(transaction)
        self._begun -= 1
        self._changed()
        if transaction.was_ignored:
            log.warning("keeps_mails_apart", mx=str(session.target))
            self._hosts.ignored(session.target, self._loop.time())
        if session.is_lent:
            return
        self._lent.remove(session)
        if keep and session.is_usable and session.mails < self._egress.mails_per_connection:
            session.idle_since = self._loop.time()
            self._idle.append(session)
        else:
            self._close(session)

    def close_idle(self, before: float) -> None:
        """Close those that have been idle since `before` (loop time) or longer, and those that their server has closed.

        Who waits long behind another's mail looks for another connection.
        """
        for session in self._lent:
            session.lose_patience(self._loop.time())
        for session in list(self._idle):
            if session.idle_since <= before or not session.is_usable:
                self._idle.remove(session)
                self._close(session)

    async def closed(self) -> None:
        """Close all that are idle; return when they and those that were closing are gone."""
        self.close_idle(float("inf"))
        while self._closing:
            await asyncio.wait(self._closing)

    def _begin(self, session: Session, *, sets_apart: bool) -> Transaction:
        if sets_apart and (self._apart is None or not self._apart.is_usable):
            self._apart = session
        if not session.is_lent:
            self._lent.append(session)
        self._begun += 1
        return session.begin()

    def _can_be_followed(self, session: Session, within: float, behind: int = 1) -> bool:
        return (
            session.can_be_followed(within, behind)
            and session.mails + session.length < self._egress.mails_per_connection
            and not self._hosts.keeps_mails_apart(session.target, self._loop.time())
        )

    def _in_line(self, hosts: set[str], spared: Session | None, *, third: bool) -> Session | None:
        return self._followed(hosts, QUICK, spared) or (self._followed(hosts, NEAR, spared, behind=2) if third else None)

    def _followed(self, hosts: set[str], within: float, spared: Session | None = None, behind: int = 1) -> Session | None:
        for session in self._lent:
            if session is not spared and self._can_be_followed(session, within, behind) and session.target.host in hosts:
                return session
        return None

    def _take_idle(self, hosts: set[str], spared: Session | None = None) -> Session | None:
        for index in range(len(self._idle) - 1, -1, -1):
            session = self._idle[index]
            if session is not spared and session.target.host in hosts and session.is_usable:
                return self._idle.pop(index)
        return None

    async def _room(self, within: float) -> None:
        """Wait until there may be room for one more connection, or one is free: idle ones go first, and are gone before another comes."""
        if self._idle:
            self._close(self._idle.pop(0))
        self._change = self._change or self._loop.create_future()
        await asyncio.wait((self._change,), timeout=within)

    def _changed(self) -> None:
        """Whoever waits for room looks again."""
        if self._change is not None:
            self._change.set_result(None)
            self._change = None

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
        if change < 0:
            self._changed()
        CONNECTIONS.inc(change)

    def __repr__(self) -> str:
        return f"<Connections: {self.open} open, {len(self._idle)} idle>"
