"""A session with one MX host: mail after mail over one connection, one recipient each.

Where the server offers PIPELINING, RSET (if one is due), MAIL, RCPT and DATA travel in one flight (RFC 2920 3.1). The mail follows only
after 354 and with a permit; from its final dot on it may have arrived, whatever happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from scaisend_common.mail.events import Hop
from scaisend_common.mail.reply import Reply
from scaisend_common.mail.verdict import Bounced, BounceKind, Stage, Verdict, judge, judge_loss
from scaisend_common.plumbing.failpoints import fail_here
from scaisend_deliverer.dialogue import CHUNK, Broken, Dialogue
from scaisend_deliverer.envelope import Envelope, mail_command, rcpt_command, stuffed
from scaisend_deliverer.offer import Offer
from scaisend_deliverer.permit import Go, Permit
from scaisend_deliverer.target import Target
from scaisend_deliverer.timers import Timers

CLOSING = 421  # the server closes the connection, whatever it answers (RFC 5321 3.8)
_DOT = b".\r\n"
_RSET = b"RSET\r\n"
_DATA = b"DATA\r\n"


@dataclass(frozen=True, slots=True)
class Halted:
    """Nothing was sent: `permit` was none to go, or did not hold any more."""

    permit: Permit


@dataclass(frozen=True, slots=True)
class Stale:
    """A connection that had served before was over before it took a word of this mail: no attempt was made."""

    why: str


@dataclass(frozen=True, slots=True)
class Recalled:
    """The attempt was taken back before its final dot."""


Result = Verdict | Halted | Stale | Recalled


class Session:
    """Made by `opening.open_session`. One transaction at a time."""

    def __init__(self, dialogue: Dialogue, target: Target, offer: Offer, tls_version: str, timers: Timers) -> None:
        self.target = target
        self.offer = offer
        self.mails = 0
        """How many transactions there were."""
        self.idle_since = 0.0
        self._dialogue = dialogue
        self._tls_version = tls_version
        self._timers = timers
        self._local_ip = dialogue.local_ip()
        self._reset_is_due = False
        self._is_over = False
        self._is_recalled = False
        self._begin()

    @property
    def is_usable(self) -> bool:
        """Another mail can be tried: the connection stands and the server has not said goodbye."""
        return not self._is_over and self._dialogue.is_quiet

    def hop(self, ms: int) -> Hop:
        """Where the mail went, for its events."""
        tls = self._tls_version
        return Hop(mx_host=self.target.host, mx_ip=self.target.address, source_ip=self._local_ip, tls=bool(tls), tls_version=tls, ms=ms)

    async def transact(self, envelope: Envelope, wire: bytes, permit: Callable[[], Awaitable[Permit]], deadline: float) -> Result:
        """Hand over one mail; `wire` is the whole mail, dots not yet doubled. `permit` is awaited before anything of it is sent.

        `deadline` (loop time) bounds all until the final dot; after it the server has ten minutes (RFC 5321 4.5.3.2.6).
        """
        if self.offer.size and len(wire) > self.offer.size:
            return Bounced(f"the mail has {len(wire)} octets, {self.target.host} takes {self.offer.size}", "5.3.4", BounceKind.BLOCKED)
        self._begin()
        self._dialogue.deadline = deadline
        try:
            await self._introduce(envelope, len(wire))
            if self._refusal is not None:
                return await self._refused(*self._refusal)
            return await self._hand_over(wire, permit)
        except Broken as broken:
            return self._broken(str(broken))
        except BaseException:
            self._close("the attempt ended")
            raise
        finally:
            self.mails += 1

    def recall(self) -> None:
        """Take the running transaction back, unless its final dot was sent."""
        if not self._dot_sent:
            self._is_recalled = True
            self._close("recalled")

    async def leave(self) -> None:
        """Close the connection politely."""
        self._is_over = True
        await self._dialogue.leave(self._timers.leave)

    def _begin(self) -> None:
        """Forget the transaction before."""
        self._stage = Stage.MAIL
        self._refusal: tuple[Stage, Reply] | None = None
        self._is_fresh = self.mails == 0  # or has answered since
        self._is_in_data = False
        self._dot_sent = False

    async def _introduce(self, envelope: Envelope, size: int) -> None:
        """Say RSET, MAIL, RCPT, DATA as far as the server agrees; note the first refusal, and whether it waits for the mail."""
        dialogue, timers, pipelining = self._dialogue, self._timers, self.offer.pipelining
        mail, rcpt = mail_command(envelope, size, self.offer), rcpt_command(envelope)
        if pipelining:
            dialogue.send(b"".join((_RSET if self._reset_is_due else b"", mail, rcpt, _DATA)))
        if self._reset_is_due:
            await self._reset()
        for stage, command, within in ((Stage.MAIL, mail, timers.mail), (Stage.RCPT, rcpt, timers.rcpt), (Stage.DATA, _DATA, timers.data)):
            if not pipelining:
                if self._refusal is not None:
                    return
                dialogue.send(command)
            self._stage = stage
            reply = await dialogue.reply(within)
            kind = reply.code // 100
            self._is_in_data = stage is Stage.DATA and kind == 3
            if not self._is_fresh and reply.code == CLOSING:
                raise Broken(str(reply))
            self._is_fresh = True
            if kind != (3 if stage is Stage.DATA else 2) and self._refusal is None:
                self._refusal = stage, reply

    async def _reset(self) -> None:
        if not self.offer.pipelining:
            self._dialogue.send(_RSET)
        reply = await self._dialogue.reply(self._timers.mail)
        if reply.code // 100 != 2:
            raise Broken(f"RSET was refused: {reply}")
        self._is_fresh = True
        self._reset_is_due = False

    async def _refused(self, stage: Stage, reply: Reply) -> Verdict:
        """End a transaction that was refused. A server that says 354 all the same waits for a dot: it gets nothing else (RFC 2920 3.1)."""
        self._reset_is_due = True
        if self._is_in_data:
            self._dialogue.send(_DOT)
            await self._dialogue.reply(self._timers.dot)
        if reply.code == CLOSING or (stage is Stage.DATA and reply.code // 100 == 2):
            self._close("the server is closing")
        return judge(stage, reply)

    async def _hand_over(self, wire: bytes, permit: Callable[[], Awaitable[Permit]]) -> Result:
        """Send the mail and return what the server made of it. A crash before the dot: not delivered; after it: in doubt."""
        self._stage = Stage.DOT
        answer = await permit()
        if not isinstance(answer, Go):
            return self._halted(answer)
        content = stuffed(wire)
        if len(content) > CHUNK:
            try:
                await self._dialogue.send_all(memoryview(content)[: -len(_DOT)], self._timers.block)
            except Broken:
                if (early := self._dialogue.reply_at_hand()) is None or early.code // 100 not in (4, 5):
                    raise
                self._close("refused before the end of the mail")
                return judge(Stage.DOT, early)
            content = _DOT
        if not answer.holds():
            return self._halted(answer)
        if not self._dialogue.is_open:
            raise Broken("lost before the mail was sent")
        fail_here("deliverer.before_final_dot")
        self._dot_sent = True
        self._dialogue.send(content)
        self._dialogue.deadline = asyncio.get_running_loop().time() + self._timers.dot
        reply = await self._dialogue.reply(self._timers.dot)
        self._reset_is_due = reply.code // 100 != 2
        if reply.code == CLOSING:
            self._close("the server is closing")
        return judge(Stage.DOT, reply)

    def _halted(self, answer: Permit) -> Halted:
        """After 354 there is no RSET: without its final dot the mail is nothing (RFC 5321 4.1.1.4), so the connection is given up."""
        self._close("halted")
        return Halted(answer)

    def _broken(self, why: str) -> Result:
        self._close(why)
        if self._refusal is not None:
            return judge(*self._refusal)
        if self._is_recalled and not self._dot_sent:
            return Recalled()
        if not self._is_fresh:
            return Stale(why)
        return judge_loss(self._stage, self._dot_sent, why)

    def _close(self, why: str) -> None:
        self._is_over = True
        self._dialogue.abort(why)

    def __repr__(self) -> str:
        return f"<Session {self.target} {self.mails} mails{'' if self.is_usable else ', over'}>"
