"""One mail transaction (RFC 5321 3.3): an envelope, its mail, and what the server made of it; one recipient each.

Where the server offers PIPELINING, RSET (if one is due), MAIL, RCPT and DATA travel in one flight (RFC 2920 3.1). They may follow the final
dot of the mail before, in the same write: then a mail takes one round trip. The mail itself follows only after 354 and with a permit;
from its final dot on it may have arrived, whatever happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaisend_common.mail.events import Hop
from scaisend_common.mail.reply import Reply
from scaisend_common.mail.verdict import Bounced, BounceKind, Stage, Verdict, judge, judge_loss
from scaisend_common.plumbing.failpoints import fail_here
from scaisend_deliverer.dialogue import CHUNK, Broken
from scaisend_deliverer.envelope import Envelope, mail_command, rcpt_command, stuffed
from scaisend_deliverer.extensions import Extensions
from scaisend_deliverer.permit import Go, Permit

if TYPE_CHECKING:  # a session makes its transactions
    from scaisend_deliverer.session import Session

CLOSING = 421  # the server closes the connection, whatever it answers (RFC 5321 3.8)
PATIENCE = 1.0  # seconds for the mail before, before another connection is looked for
ALONG = 30.0  # seconds for the reply to a MAIL that followed a mail at once: some server may have dropped it, and no attempt is lost
_DOT = b".\r\n"
_RSET = b"RSET\r\n"
_DATA = b"DATA\r\n"


@dataclass(frozen=True, slots=True)
class Halted:
    """Nothing was sent: `permit` was none to go, or did not hold any more."""

    permit: Permit


@dataclass(frozen=True, slots=True)
class Stale:
    """A connection that had served before was over, or not to be had, before it took a word of this mail: no attempt was made."""

    why: str


@dataclass(frozen=True, slots=True)
class Recalled:
    """The attempt was taken back before its final dot."""


Result = Verdict | Halted | Stale | Recalled


class Transaction:
    """Made by `Session.begin`, for one mail."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._dialogue = session.dialogue
        self._timers = session.timers
        self._stage = Stage.MAIL
        self._refusal: tuple[Stage, Reply] | None = None
        self._is_fresh = False  # the connection is new, or has answered since
        self._is_in_data = False
        self._dot_sent = False
        self._is_recalled = False
        self._flight = b""
        self._went_along = False
        self._turn: asyncio.Future[None] | None = None
        self._since = 0.0
        self.was_ignored = False
        """The server did not take commands that followed a mail at once."""

    @property
    def session(self) -> Session:
        """The session whose line it stands in."""
        return self._session

    @property
    def extensions(self) -> Extensions:
        """What its server offers to mails."""
        return self._session.offer.extensions

    def hop(self, ms: int) -> Hop:
        """Where the mail went, for its events."""
        return self._session.hop(ms)

    async def hand_over(
        self, envelope: Envelope, wire: tuple[bytes, bytes], permit: Callable[[], Awaitable[Permit]], deadline: float
    ) -> Result:
        """Hand over the mail; `wire` is its header and body, dots not yet doubled. `permit` is awaited before anything of it is sent.

        `deadline` (loop time) bounds all until the final dot; after it the server has ten minutes (RFC 5321 4.5.3.2.6).
        """
        session, offer = self._session, self._session.offer
        if self._is_recalled:
            return Recalled()
        octets = sum(map(len, wire))
        if offer.size and octets > offer.size:
            why = f"the mail has {octets} octets, {session.target.host} takes {offer.size}"
            return Bounced(why, "5.3.4", BounceKind.BLOCKED)
        commands = mail_command(envelope, octets, offer), rcpt_command(envelope), _DATA
        if session.first() is not self and not await self._comes_to_its_turn(b"".join(commands), deadline):
            return Recalled() if self._is_recalled else Stale("its turn did not come")
        self._is_fresh = session.mails == 0
        self._dialogue.deadline = deadline
        try:
            await self._introduce(*commands)
            if self._refusal is not None:
                return await self._refused(*self._refusal)
            return await self._send(wire, permit)
        except Broken as broken:
            return self._broken(str(broken))
        except BaseException:
            session.close("the attempt ended")
            raise
        finally:
            session.mails += 1

    def recall(self) -> None:
        """Take it back, unless its final dot was sent."""
        if self._dot_sent or not self._session.has(self):
            return
        self._is_recalled = True
        if self._session.first() is self:
            self._session.close("recalled")
        else:
            self.wake()

    def lose_patience(self, now: float) -> None:
        """Give up a place in line where the mail before takes long (`now` in loop time)."""
        if self._turn is not None and now - self._since > (ALONG if self._went_along else PATIENCE):
            self._session.answer_seconds = float("inf")
            self.wake()

    def wake(self) -> None:
        """Let it see whether its turn has come."""
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)

    def go_along(self) -> bytes:
        """Return the commands that are to be sent now, behind the mail before; none where they are not known yet, or went already."""
        if self._went_along or self._is_recalled or not self._flight:
            return b""
        self._went_along = True
        return self._flight

    async def _comes_to_its_turn(self, flight: bytes, deadline: float) -> bool:
        """Wait for the mail before, whose session then is this one's. False: recalled, it takes too long, or the connection is over."""
        session, loop = self._session, self._dialogue.loop
        self._flight = flight
        before = session.first()
        if before is not None and before._dot_sent and session.behind(before) is self:  # noqa: SLF001 - one of ours
            self._dialogue.send(self.go_along())
        self._turn = loop.create_future()
        self._since = loop.time()
        goes_on = False
        try:
            await self._turn
            goes_on = session.first() is self and not session.is_over and not self._is_recalled and loop.time() < deadline
        finally:
            if self._went_along and not goes_on:
                session.spoil()
        return goes_on

    async def _introduce(self, mail: bytes, rcpt: bytes, data: bytes) -> None:
        """Say RSET, MAIL, RCPT, DATA as far as the server agrees; note the first refusal, and whether it waits for the mail."""
        session, dialogue, timers, pipelining = self._session, self._dialogue, self._timers, self._session.offer.pipelining
        if pipelining and not self._went_along:
            dialogue.send(b"".join((_RSET if session.reset_is_due else b"", mail, rcpt, data)))
        if session.reset_is_due:
            await self._reset()
        within = ALONG if self._went_along else timers.mail
        for stage, command, seconds in ((Stage.MAIL, mail, within), (Stage.RCPT, rcpt, timers.rcpt), (Stage.DATA, data, timers.data)):
            if not pipelining:
                if self._refusal is not None:
                    return
                dialogue.send(command)
            elif (self._went_along or stage is not Stage.MAIL) and dialogue.is_quiet:
                dialogue.acknowledge()  # the reply before this one came alone
            self._stage = stage
            reply = await dialogue.reply(seconds)
            kind = reply.code // 100
            self._is_in_data = stage is Stage.DATA and kind == 3
            out_of_turn = self._went_along and stage is Stage.MAIL and kind == 5  # or the answer to something else: it is asked alone
            if not self._is_fresh and (reply.code == CLOSING or out_of_turn):
                self.was_ignored = out_of_turn
                raise Broken(str(reply))
            self._is_fresh = True
            if kind != (3 if stage is Stage.DATA else 2) and self._refusal is None:
                self._refusal = stage, reply

    async def _reset(self) -> None:
        if not self._session.offer.pipelining:
            self._dialogue.send(_RSET)
        reply = await self._dialogue.reply(self._timers.mail)
        if reply.code // 100 != 2:
            raise Broken(f"RSET was refused: {reply}")
        self._is_fresh = True
        self._session.reset_is_due = False

    async def _refused(self, stage: Stage, reply: Reply) -> Verdict:
        """End a transaction that was refused. A server that says 354 all the same waits for a dot: it gets nothing else (RFC 2920 3.1)."""
        self._session.reset_is_due = True
        if self._is_in_data:
            self._dialogue.send(_DOT)
            await self._dialogue.reply(self._timers.dot)
        if reply.code == CLOSING or (stage is Stage.DATA and reply.code // 100 == 2):
            self._session.close("the server is closing")
        return judge(stage, reply)

    async def _send(self, wire: tuple[bytes, bytes], permit: Callable[[], Awaitable[Permit]]) -> Result:
        """Send the mail and return what the server made of it. A crash before the dot: not delivered; after it: in doubt.

        Header, body, dot and what goes along leave in one write, unless they are large; they are not joined first, for a body may be long.
        """
        session, dialogue, loop = self._session, self._dialogue, self._dialogue.loop
        self._stage = Stage.DOT
        answer = await permit()
        if not isinstance(answer, Go):
            return self._halted(answer)
        content = [stuffed(part) for part in wire]
        if sum(map(len, content)) > CHUNK:
            try:
                for part in content:
                    await dialogue.send_all(memoryview(part), self._timers.block)
            except Broken:
                if (early := dialogue.reply_at_hand()) is None or early.code // 100 not in (4, 5):
                    raise
                session.close("refused before the end of the mail")
                return judge(Stage.DOT, early)
            content.clear()
        if not answer.holds():
            return self._halted(answer)
        if not dialogue.is_quiet:
            raise Broken("lost before the mail was sent, or answered before it was")
        fail_here("deliverer.before_final_dot")
        self._dot_sent = True
        follower = session.behind(self)
        dialogue.send(*content, _DOT + follower.go_along() if follower is not None else _DOT)
        sent_at = loop.time()
        dialogue.deadline = sent_at + self._timers.dot
        reply = await dialogue.reply(self._timers.dot)
        session.answer_seconds = loop.time() - sent_at
        # The end of data ends the transaction, whatever the answer (RFC 5321 4.1.1.4): what went along needs no RSET before it.
        follower = session.behind(self)
        session.reset_is_due = reply.code // 100 != 2 and not (follower is not None and follower._went_along)  # noqa: SLF001 - one of ours
        if reply.code == CLOSING:
            session.close("the server is closing")
        return judge(Stage.DOT, reply)

    def _halted(self, answer: Permit) -> Halted:
        """After 354 there is no RSET: without its final dot the mail is nothing (RFC 5321 4.1.1.4), so the connection is given up."""
        self._session.close("halted")
        return Halted(answer)

    def _broken(self, why: str) -> Result:
        self.was_ignored |= self._went_along and not self._is_fresh and self._dialogue.is_late
        self._session.close(why)
        if self._refusal is not None:
            return judge(*self._refusal)
        if self._is_recalled and not self._dot_sent:
            return Recalled()
        if not self._is_fresh:
            return Stale(why)
        return judge_loss(self._stage, self._dot_sent, why)

    def __repr__(self) -> str:
        return f"<Transaction at {self._stage}, over {self._session!r}>"
