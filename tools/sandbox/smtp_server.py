"""The SMTP server of the MX hosts: strict about what it is sent, quick, and as unpleasant as the scripts ask.

Replies to commands that came in one flight leave in one write. Only CRLF ends a line and only CRLF.CRLF ends a mail.

STANDARDS: RFC 5321, RFC 2920 (pipelining), RFC 3207 (STARTTLS: what came before the handshake is not believed after it).
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, cast

from sandbox.commands import LAST_IN_GROUP, Command, address_fault, greeting, mail_fault, read_command, read_path
from sandbox.mail import Mail
from sandbox.scripts import Action, Aftermath, Refuse
from sandbox.strict import fault, unstuff
from sandbox.zones import MxHost

MOST_OCTETS = 50 * 1024 * 1024
_LONGEST_COMMAND = 4096  # with room for long parameters (RFC 5321 4.5.3.1.4 asks for 512)
_END = b"\r\n.\r\n"
_serial = itertools.count(1)


class Desk(Protocol):
    """Who decides about recipients and keeps what comes in."""

    def opened(self, session: str, host: MxHost, peer: str) -> None:
        """A connection was accepted."""

    def closed(self, session: str, host: MxHost) -> None:
        """It ended."""

    def recipient(self, address: str) -> Action:
        """Say what to do with a RCPT; this counts it."""

    def refused(self, session: str, host: MxHost, address: str, reply: str) -> None:
        """A recipient, or the mail to it, was answered with 4yz or 5yz."""

    def take(self, mail: Mail, aftermaths: dict[str, Aftermath]) -> str:
        """Keep a mail; what is written about it is written on return, before the 250. Returns its id."""


@dataclass(slots=True)
class _Transaction:
    """What MAIL began."""

    reverse_path: str
    eight_bit: bool
    smtputf8: bool
    recipients: dict[str, Aftermath] = field(default_factory=dict)


class Session(asyncio.Protocol):
    """One connection to one host."""

    def __init__(self, host: MxHost, desk: Desk, context: ssl.SSLContext, left: Callable[[Session], None]) -> None:
        self._host = host
        self._desk = desk
        self._context = context
        self._left = left
        self._id = ""
        self._peer = ""
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._searched = 0  # octets of the buffer that surely hold no end of data
        self._replies: list[str] = []
        self._waiting: asyncio.TimerHandle | None = None
        self._handshake: asyncio.Task[None] | None = None
        self._helo = ""
        self._tls = False
        self._in_data = False
        self._transaction: _Transaction | None = None

    def __repr__(self) -> str:
        return f"<Session {self._id} {self._host.name} helo={self._helo} tls={self._tls}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        peer = transport.get_extra_info("peername")
        self._id, self._peer = f"{next(_serial)}", f"{peer[0]}:{peer[1]}" if peer else ""
        self._desk.opened(self._id, self._host, self._peer)
        self._say(f"220 {self._host.name} ESMTP sandbox")
        self._flush()

    def connection_lost(self, _error: Exception | None) -> None:
        """Note the end, once."""
        if self._waiting:
            self._waiting.cancel()
        if self._transport:
            self._transport = None
            self._desk.closed(self._id, self._host)
            self._left(self)

    def data_received(self, data: bytes) -> None:
        """Go on."""
        self._buffer += data
        self._advance()

    def hang_up(self) -> None:
        """Drop the connection where it stands."""
        if self._transport:
            self._transport.abort()

    def _advance(self) -> None:
        """Do all that the buffer holds, up to a pause."""
        while self._transport and not self._transport.is_closing() and not self._waiting and not self._handshake:
            if not (self._read_content() if self._in_data else self._read_command()):
                break
        self._flush()

    def _read_command(self) -> bool:
        end = self._buffer.find(b"\n")
        if end < 0 or end > _LONGEST_COMMAND:
            if end > _LONGEST_COMMAND or len(self._buffer) > _LONGEST_COMMAND:
                self._farewell("500 5.5.2 The line is too long")
            return False
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            self._farewell("500 5.5.2 Bare CR or LF in a command")
            return False
        command = read_command(line[:-2])
        if command is None:
            self._say("500 5.5.2 Not UTF-8")
        elif self._buffer and (not self._host.offers.pipelining or command.verb in LAST_IN_GROUP):
            self._farewell("503 5.5.0 Improper use of pipelining")
        else:
            self._obey(command)
        return True

    def _obey(self, command: Command) -> None:
        match command.verb:
            case "EHLO" | "HELO":
                self._hello(command)
            case "MAIL":
                self._mail(command.rest)
            case "RCPT":
                self._rcpt(command.rest)
            case "DATA":
                self._data(command.rest)
            case "RSET":
                self._reset()
                self._say("250 2.0.0 OK")
            case "NOOP":
                self._say("250 2.0.0 OK")
            case "VRFY":
                self._say("252 2.1.5 Send some mail, I will try")
            case "STARTTLS" if self._host.offers.starttls and not self._tls:
                self._start_tls()
            case "QUIT":
                self._farewell("221 2.0.0 Bye")
            case _:
                self._say("502 5.5.1 No such command here")

    def _hello(self, command: Command) -> None:
        if not command.rest.strip():
            self._say("501 5.5.4 Who are you?")
            return
        self._helo = command.rest.strip()
        self._reset()
        hello = greeting(self._host.name, self._host.offers, MOST_OCTETS, in_tls=self._tls)
        self._say(hello if command.verb == "EHLO" else f"250 {self._host.name}")

    def _mail(self, rest: str) -> None:
        path = read_path(rest, "FROM")
        if not self._helo or self._transaction:
            self._say("503 5.5.1 " + ("MAIL was said" if self._helo else "Say EHLO first"))
        elif path is None:
            self._say("501 5.5.4 Malformed MAIL")
        elif wrong := mail_fault(path, self._host.offers, MOST_OCTETS):
            self._say(wrong)
        else:
            eight_bit = path.parameters.get("BODY", "").upper() == "8BITMIME"
            self._transaction = _Transaction(path.address, eight_bit, "SMTPUTF8" in path.parameters)
            self._say("250 2.1.0 OK")

    def _rcpt(self, rest: str) -> None:
        path = read_path(rest, "TO")
        if self._transaction is None:
            self._say("503 5.5.1 Say MAIL first")
        elif path is None or path.parameters:
            self._say("501 5.5.4 Malformed RCPT")
        elif wrong := address_fault(path.address, smtputf8=self._transaction.smtputf8):
            self._say(wrong)
        else:
            action = self._desk.recipient(path.address)
            if isinstance(action, Refuse):
                self._desk.refused(self._id, self._host, path.address, action.reply)
                self._say(action.reply)
                return
            self._transaction.recipients[path.address] = action.aftermath
            if action.wait:
                self._waiting = asyncio.get_running_loop().call_later(action.wait.total_seconds(), self._go_on)
            else:
                self._say("250 2.1.5 OK")

    def _go_on(self) -> None:
        self._waiting = None
        self._say("250 2.1.5 OK")
        self._advance()

    def _data(self, rest: str) -> None:
        if not (self._transaction and self._transaction.recipients) or rest:
            self._say("501 5.5.4 Malformed DATA" if rest else "554 5.5.1 No valid recipients")
            return
        self._in_data, self._searched = True, 0
        self._buffer += b"\r\n"  # the CRLF of DATA itself may begin the end (RFC 5321 4.1.1.4)
        self._say("354 Go ahead")

    def _read_content(self) -> bool:
        assert self._transaction
        if Aftermath.DROP in self._transaction.recipients.values() and len(self._buffer) > len(b"\r\n"):
            self.hang_up()
            return False
        end = self._buffer.find(_END, self._searched)
        if end < 0:
            self._searched = max(0, len(self._buffer) - len(_END) + 1)
            if len(self._buffer) > 2 * MOST_OCTETS:  # a client that ignores SIZE; what is less is refused at its end
                self._farewell("552 5.3.4 The mail is too large")
            return False
        wire = bytes(memoryview(self._buffer)[2 : end + 2])
        del self._buffer[: end + len(_END)]
        self._say(self._receive(wire, self._transaction))
        self._reset()
        return True

    def _receive(self, wire: bytes, transaction: _Transaction) -> str:
        wrong = (
            "552 5.3.4 The mail is too large"
            if len(wire) > MOST_OCTETS
            else fault(wire, eight_bit=transaction.eight_bit, smtputf8=transaction.smtputf8)
        )
        if wrong:
            for address in transaction.recipients:
                self._desk.refused(self._id, self._host, address, wrong)
            return wrong
        mail = Mail(
            received_at=time.time(),
            host=self._host,
            session=self._id,
            peer=self._peer,
            helo=self._helo,
            tls=self._tls,
            reverse_path=transaction.reverse_path,
            forward_paths=tuple(transaction.recipients),
            content=unstuff(wire),
        )
        return f"250 2.0.0 OK id={self._desk.take(mail, transaction.recipients)}"

    def _start_tls(self) -> None:
        assert self._transport
        self._transport.pause_reading()  # or the first octets of the handshake could come here
        self._say("220 2.0.0 Go ahead")
        self._flush()
        self._handshake = asyncio.get_running_loop().create_task(self._shake_hands(self._transport))

    async def _shake_hands(self, transport: asyncio.Transport) -> None:
        try:
            secured = await asyncio.get_running_loop().start_tls(transport, self, self._context, server_side=True, ssl_handshake_timeout=30)
        except (OSError, ssl.SSLError):
            transport.abort()
            self.connection_lost(None)
            return
        if self._transport is None or secured is None:
            return
        self._transport, self._tls, self._handshake, self._helo = secured, True, None, ""
        self._reset()
        self._advance()

    def _reset(self) -> None:
        self._in_data = False
        self._transaction = None

    def _say(self, reply: str) -> None:
        self._replies.append(reply)

    def _farewell(self, reply: str) -> None:
        self._say(reply)
        self._flush()
        if self._transport:
            self._transport.close()

    def _flush(self) -> None:
        if self._replies and self._transport and not self._transport.is_closing():
            self._transport.write(("\r\n".join(self._replies) + "\r\n").encode())
        self._replies.clear()
