"""Opening sessions with a scripted server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.peers.smtp_dialogue import SmtpPeer

from scaisend_deliverer.envelope import Envelope
from scaisend_deliverer.opening import NotOpened, open_session, opportunistic_tls
from scaisend_deliverer.permit import Go, Permit
from scaisend_deliverer.session import Session
from scaisend_deliverer.source import Source
from scaisend_deliverer.target import Target
from scaisend_deliverer.timers import Timers
from scaisend_deliverer.transaction import Result, Transaction

SOURCE = Source("default", "", "out.scaisend.test")
TIMERS = Timers(connect=2, banner=2, ehlo=2, tls=2, mail=2, rcpt=2, data=2, block=2, dot=2, leave=0.3, until_dot=10)
WIRE = b"Subject: hello\r\n\r\nGood day.\r\n"
ENVELOPE = Envelope("b.token@bounces.sender.test", "ok@plain.test")

GREETING = ("220 mx.plain.test ESMTP",)
EHLO = (r"EHLO out\.scaisend\.test", "250-mx.plain.test at your service", "250-PIPELINING", "250-SIZE 1000000", "250 8BITMIME")
SLOW_EHLO = (r"EHLO out\.scaisend\.test", "250-mx.plain.test", "250 SIZE")
MAIL = (r"MAIL FROM:<b\.token@bounces\.sender\.test> SIZE=\d+", "250 2.1.0 OK")
RCPT = (r"RCPT TO:<ok@plain\.test>", "250 2.1.5 OK")
DATA = ("DATA", "354 Go ahead")
QUIT = ("QUIT", "221 Bye")


async def granted() -> Permit:
    return Go(lambda: True)


def target_of(peer: SmtpPeer) -> Target:
    return Target(10, "mx.plain.test", peer.host)


async def try_to_open(peer: SmtpPeer, timers: Timers = TIMERS, *, tls: bool = True) -> Session | NotOpened:
    deadline = asyncio.get_running_loop().time() + timers.until_dot
    context = opportunistic_tls() if tls else None
    return await open_session(target_of(peer), SOURCE, port=peer.port, timers=timers, tls=context, deadline=deadline)


async def opened(peer: SmtpPeer, timers: Timers = TIMERS, *, tls: bool = True) -> Session:
    session = await try_to_open(peer, timers, tls=tls)
    assert isinstance(session, Session), session
    return session


async def hand_over(
    over: Session | Transaction,
    *,
    envelope: Envelope = ENVELOPE,
    wire: bytes = WIRE,
    permit: Callable[[], Awaitable[Permit]] = granted,
    seconds: float = 10,
) -> Result:
    """Hand a mail over in a transaction that has begun, or in a new one that is ended afterwards."""
    transaction = over.begin() if isinstance(over, Session) else over
    try:
        header, gap, body = wire.partition(b"\r\n\r\n")
        return await transaction.hand_over(envelope, (header + gap, body), permit, asyncio.get_running_loop().time() + seconds)
    finally:
        if isinstance(over, Session):
            over.end(transaction)
