"""What an attempt came to: a closed union. `match` on it and let the type checker find what was forgotten."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from scaisend_common.mail.reply import Reply
from scaisend_common.mail.wording import Reading, reading


class BounceKind(StrEnum):
    """Whether the recipient is gone (suppressed from now on) or only this mail was refused."""

    BOUNCE = "bounce"
    BLOCKED = "blocked"


class Delivered(msgspec.Struct, frozen=True, gc=False, tag="delivered"):
    """The server took the mail: from its 250 to the final dot on, it is the server's (RFC 5321 6.1)."""

    reply: Reply


class Deferred(msgspec.Struct, frozen=True, gc=False, tag="deferred"):
    """Try again later. `reply` is None when no server answered at all; `why` then says what happened."""

    why: str
    reply: Reply | None = None


class Bounced(msgspec.Struct, frozen=True, gc=False, tag="bounced"):
    """Never try again. `status` is an enhanced code (RFC 3463), ours where no server said one."""

    why: str
    status: str
    kind: BounceKind
    reply: Reply | None = None


class Unknown(msgspec.Struct, frozen=True, gc=False, tag="unknown"):
    """The final dot may have been sent and no reply is known: the mail may have arrived (RFC 1047)."""

    why: str


Verdict = Delivered | Deferred | Bounced | Unknown


class Stage(StrEnum):
    """What a reply answers."""

    CONNECT = "connect"
    EHLO = "ehlo"
    TLS = "tls"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"


_OF_THE_SESSION = frozenset((Stage.CONNECT, Stage.EHLO, Stage.TLS))
_OF_THE_RECIPIENT = frozenset((Stage.RCPT, Stage.DOT))  # at DATA, "no valid recipients" is also said when RCPT was deferred
_STATUS_OF_CODE = {521: "5.3.2", 523: "5.3.4", 530: "5.7.0", 535: "5.7.8", 551: "5.1.6", 556: "5.1.10"}
_STATUS_OF_READING = {
    Reading.GONE: "5.1.1",
    Reading.DISABLED: "5.2.1",
    Reading.FULL: "5.2.2",
    Reading.SIZE: "5.3.4",
    Reading.RATE: "5.7.0",
    Reading.AUTHENTICATION: "5.7.1",
    Reading.REPUTATION: "5.7.1",
    Reading.CONTENT: "5.7.1",
}
_RECIPIENT_IS_GONE = frozenset(("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"))
_WORDS_DECIDE = frozenset(("5.0.0", "5.1.0", "5.1.4", "5.1.5", "5.2.0", "5.3.0", "5.4.0", "5.4.1", "5.5.0", "5.5.4"))


def judge(stage: Stage, reply: Reply) -> Verdict:
    """Return what a reply that ends an attempt makes of it; on the first digit alone, as RFC 5321 4.2.1 asks.

    A refusal of the whole session is the host's matter, not the mail's: the next host is asked, then it is tried later.
    """
    match reply.code // 100:
        case 2 if stage is Stage.DOT:
            return Delivered(reply)
        case 5 if stage not in _OF_THE_SESSION:
            return _refused(stage, reply)
        case 4 | 5:
            return Deferred(str(reply), reply)
        case _:
            return Deferred(f"unexpected reply at {stage}: {reply}", reply)


def judge_loss(stage: Stage, dot_sent: bool, why: str) -> Deferred | Unknown:
    """Return what an attempt came to whose connection was lost or talked nonsense: as after a 451 (RFC 5321 3.8), until the dot is sent."""
    return Unknown(why) if dot_sent else Deferred(f"{stage}: {why}")


def expired(last: Deferred) -> Bounced:
    """Return what becomes of a delivery whose time is over; the last deferral is its reason, and the recipient may well exist."""
    status = last.reply.enhanced if last.reply and last.reply.enhanced else "4.4.7"
    return Bounced(f"expired: {last.why}", status, BounceKind.BLOCKED, last.reply)


def _refused(stage: Stage, reply: Reply) -> Bounced:
    status = reply.enhanced or _own_status(stage, reply)
    in_words = stage in _OF_THE_RECIPIENT and status in _WORDS_DECIDE and reading(reply.text) is Reading.GONE
    gone = stage is not Stage.MAIL and (status in _RECIPIENT_IS_GONE or in_words)
    return Bounced(str(reply), status, BounceKind.BOUNCE if gone else BounceKind.BLOCKED, reply)


def _own_status(stage: Stage, reply: Reply) -> str:
    """The enhanced code of a server that gives none; from its words where its code says too little."""
    if reply.code in _STATUS_OF_CODE:
        return _STATUS_OF_CODE[reply.code]
    if stage is Stage.MAIL:
        return {552: "5.3.4", 553: "5.1.8"}.get(reply.code, "5.0.0")
    if stage not in _OF_THE_RECIPIENT:
        return "5.0.0"
    words = reading(reply.text)
    if reply.code == 552 and words not in (Reading.GONE, Reading.FULL, Reading.SIZE):
        # full at RCPT (where RFC 5321 4.5.3.1.10 means many recipients, but we name one), too large after the dot (RFC 1870 6.3)
        return "5.2.2" if stage is Stage.RCPT else "5.3.4"
    return _STATUS_OF_READING.get(words, "5.0.0") if words else "5.0.0"
