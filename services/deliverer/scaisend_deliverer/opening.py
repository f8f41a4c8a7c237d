"""Opening a session: connect, greeting, EHLO, STARTTLS where it is offered, EHLO again (RFC 5321 3.1, RFC 3207)."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass

from scaisend_common.mail.reply import Reply
from scaisend_common.mail.verdict import Deferred, Stage, Verdict, judge, judge_loss
from scaisend_deliverer.dialogue import Broken, Dialogue
from scaisend_deliverer.offer import NOTHING, Offer, read_offer
from scaisend_deliverer.session import Session
from scaisend_deliverer.source import Source
from scaisend_deliverer.target import Target
from scaisend_deliverer.timers import Timers


@dataclass(frozen=True, slots=True)
class NotOpened:
    """No session. `answered`: the server spoke, so that it counts as a session tried; `tls_failed`: without TLS it may do."""

    verdict: Deferred
    answered: bool = False
    tls_failed: bool = False


def opportunistic_tls() -> ssl.SSLContext:
    """Return the context of TLS that is better than none: any certificate, since without TLS there would be none at all (RFC 7435)."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def open_session(
    target: Target, source: Source, *, port: int, timers: Timers, tls: ssl.SSLContext | None, deadline: float
) -> Session | NotOpened:
    """Open a session; `deadline` in loop time. `tls` None: STARTTLS is not used, whatever is offered."""
    dialogue = await _connect(target, source, port, timers, deadline)
    if isinstance(dialogue, NotOpened):
        return dialogue
    stage = Stage.CONNECT
    try:
        greeting = await dialogue.reply(timers.banner)
        if greeting.code // 100 != 2:
            return await _refused(dialogue, timers, Stage.CONNECT, greeting)
        stage = Stage.EHLO
        offer = await _hello(dialogue, source, timers)
        if isinstance(offer, Reply):
            return await _refused(dialogue, timers, Stage.EHLO, offer)
        if tls is None or not offer.starttls:
            return Session(dialogue, target, offer, "", timers)
        stage = Stage.TLS
        dialogue.send(b"STARTTLS\r\n")
        answer = await dialogue.reply(timers.ehlo)
        if answer.code // 100 != 2:
            return Session(dialogue, target, offer, "", timers)
        version = await dialogue.start_tls(tls, target.host, timers.tls)
        offer = await _hello(dialogue, source, timers)
        if isinstance(offer, Reply):
            return await _refused(dialogue, timers, Stage.TLS, offer)
        return Session(dialogue, target, offer, version, timers)
    except Broken as broken:
        dialogue.abort(str(broken))
        await dialogue.leave(timers.leave)
        verdict = _deferred(judge_loss(stage, False, f"{target}: {broken}"))
        return NotOpened(verdict, answered=stage is not Stage.CONNECT, tls_failed=stage is Stage.TLS)
    except BaseException:
        dialogue.abort("given up while it was opened")
        raise


async def _connect(target: Target, source: Source, port: int, timers: Timers, deadline: float) -> Dialogue | NotOpened:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(min(timers.connect, deadline - loop.time())):
            _, dialogue = await loop.create_connection(Dialogue, target.address, port, local_addr=(source.ip, 0) if source.ip else None)
    except TimeoutError:
        return NotOpened(Deferred(f"{target}: no connection within {timers.connect:g} s"))
    except OSError as error:
        return NotOpened(Deferred(f"{target}: {error.strerror or error}"))
    dialogue.deadline = deadline
    return dialogue


async def _hello(dialogue: Dialogue, source: Source, timers: Timers) -> Offer | Reply:
    """Say EHLO, or HELO to a server that knows no EHLO (RFC 5321 3.2); return what is offered, or the refusal."""
    dialogue.send(f"EHLO {source.ehlo_name}\r\n".encode())
    lines = await dialogue.lines(timers.ehlo)
    reply = dialogue.understood(lines)
    if reply.code // 100 == 2:
        return read_offer(lines)
    if reply.code // 100 != 5:
        return reply
    dialogue.send(f"HELO {source.ehlo_name}\r\n".encode())
    reply = await dialogue.reply(timers.ehlo)
    return NOTHING if reply.code // 100 == 2 else reply


async def _refused(dialogue: Dialogue, timers: Timers, stage: Stage, reply: Reply) -> NotOpened:
    await dialogue.leave(timers.leave)
    return NotOpened(_deferred(judge(stage, reply)), answered=True, tls_failed=stage is Stage.TLS)


def _deferred(verdict: Verdict) -> Deferred:
    """A session that was not opened is the host's matter, never the mail's (mail.verdict)."""
    assert isinstance(verdict, Deferred)
    return verdict
