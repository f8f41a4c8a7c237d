"""The SMTP server that bounces come back to: it takes mail for our own return paths, postmaster and abuse, and nothing else.

It never sends a mail (RFC 5321 6.1: no bounce of a bounce). A mail is taken (250 to the final dot) only once the broker has confirmed
what follows from it; 451 when that cannot be had, and the remote server keeps it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from aiosmtpd.smtp import SMTP, Envelope, Session
from structlog import get_logger

from scaisend_bounce_inbound.beginning import Beginning
from scaisend_bounce_inbound.mime import MAX_BYTES
from scaisend_common.mail.verp import Expired, Forged, ReturnPath

log = get_logger()

MAX_MESSAGE = 10 * 1024 * 1024
MAX_RECIPIENTS = 100  # RFC 5321 4.5.3.1.8: at least so many are taken
MAX_RECEIVED = 100  # RFC 5321 6.3: a mail with more is in a loop
ROLE_ACCOUNTS = frozenset({"postmaster", "abuse", "fbl"})  # RFC 5321 4.5.1, RFC 2142


class Inbound:
    """aiosmtpd's handler: `take` publishes what follows from a mail and returns when that is confirmed, else raises one of `outages`."""

    def __init__(
        self,
        *,
        read_local_part: Callable[[str], ReturnPath | Forged | Expired],
        take: Callable[[bytes, tuple[ReturnPath, ...], str], Awaitable[None]],
        outages: tuple[type[BaseException], ...],
    ) -> None:
        self._read_local_part = read_local_part
        self._take = take
        self._outages = outages
        self._taking = 0  # mails between their final dot and our answer
        self.idle = asyncio.Event()
        self.idle.set()

    async def handle_EHLO(self, server: SMTP, session: Session, envelope: Envelope, name: str, responses: list[str]) -> list[str]:  # noqa: N802, ARG002 - aiosmtpd's names
        """Announce what reports may need beside aiosmtpd's own list."""
        session.host_name = name
        return [*responses[:-1], "250-ENHANCEDSTATUSCODES", "250-PIPELINING", responses[-1]]

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:  # noqa: N802, ARG002 - aiosmtpd's names
        """Refuse at once what is neither a return path of ours nor a role account."""
        if len(envelope.rcpt_tos) >= MAX_RECIPIENTS:
            return "452 4.5.3 Too many recipients"
        local = address.strip("<>").rpartition("@")[0] or address
        if local.lower() not in ROLE_ACCOUNTS:
            match self._read_local_part(local):
                case Forged():
                    return "550 5.1.1 No such address here"
                case Expired():
                    return "550 5.1.1 This address is no longer in use"
                case ReturnPath():
                    pass
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's names
        """Take the mail for all its recipients, or for none."""
        if isinstance(server, _Connection) and server.mail is not None and server.mail.size > MAX_MESSAGE:
            return "552 5.3.4 Message too big"
        mail = envelope.content if isinstance(envelope.content, bytes) else b""
        if mail[:65536].lower().count(b"\nreceived:") >= MAX_RECEIVED:
            return "554 5.4.6 Too many hops"
        paths = tuple(path for rcpt in envelope.rcpt_tos if isinstance(path := self._read_local_part(rcpt.rpartition("@")[0]), ReturnPath))
        self._taking += 1
        self.idle.clear()
        try:
            await self._take(mail, paths, session.peer[0] if session.peer else "")
        except self._outages as outage:
            log.warning("inbound_held", why=type(outage).__name__)
            return "451 4.3.0 Try again later"
        finally:
            self._taking -= 1
            if not self._taking:
                self.idle.set()
        return "250 2.0.0 OK"

    async def handle_VRFY(self, server: SMTP, session: Session, envelope: Envelope, address: str) -> str:  # noqa: N802, ARG002 - aiosmtpd's names
        """Tell nothing (RFC 5321 7.3)."""
        return "252 2.1.5 Send some mail, I will try"


class Door:
    """Listens, and turns away who opens too many connections."""

    def __init__(self, handler: Inbound, *, host: str, port: int, name: str, most: int, most_per_ip: int) -> None:
        self._handler = handler
        self._host, self._port, self._name = host, port, name
        self._most, self._most_per_ip = most, most_per_ip
        self._open: dict[_Connection, str] = {}
        self._done = asyncio.Event()
        self._server: asyncio.Server | None = None

    def __repr__(self) -> str:
        return f"<Door {self._host}:{self._port} open={len(self._open)}>"

    @property
    def is_open(self) -> bool:
        """Connections are accepted."""
        return self._server is not None and self._server.is_serving()

    async def run(self) -> None:
        """Accept connections until `stop`."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(self, self._handler, self._name), self._host, self._port
        )
        log.info("inbound_listening", port=self._server.sockets[0].getsockname()[1])
        await self._done.wait()

    async def stop(self) -> None:
        """Accept no more, let mails that are being taken be answered, then hang up: nothing unanswered was ours."""
        if self._server:
            self._server.close()
        await self._handler.idle.wait()
        for connection in tuple(self._open):
            connection.hang_up()
        self._done.set()

    def admit(self, connection: _Connection, ip: str) -> bool:
        """Count a connection in; False when there are too many."""
        if len(self._open) >= self._most or list(self._open.values()).count(ip) >= self._most_per_ip:
            return False
        self._open[connection] = ip
        return True

    def leave(self, connection: _Connection) -> None:
        """Count a connection out."""
        self._open.pop(connection, None)


class _Connection(SMTP):
    def __init__(self, door: Door, handler: Inbound, name: str) -> None:
        super().__init__(handler, hostname=name, ident="ESMTP", data_size_limit=MAX_MESSAGE, enable_SMTPUTF8=True, timeout=300)
        self._door = door
        self.mail: Beginning | None = None  # the last one that came

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 - aiosmtpd's name
        """Take a mail, and keep only as much of it as is read for a report."""
        reader = self._reader
        self._reader = self.mail = Beginning(reader, MAX_BYTES)  # type: ignore[assignment]  # all of a reader that smtp_DATA uses
        try:
            await super().smtp_DATA(arg)
        finally:
            self._reader = reader

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        if not self._door.admit(self, peer[0] if peer else ""):
            transport = cast("asyncio.Transport", transport)  # uvloop has classes of its own
            transport.write(b"421 4.7.0 Too many connections\r\n")
            transport.close()
            return
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._door.leave(self)
        super().connection_lost(error)

    def hang_up(self) -> None:
        """Close; the remote server keeps what was not answered."""
        if self.transport:
            self.transport.close()
