"""What an attempt came to: a closed union. `match` on it and let the type checker find what was forgotten."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from scaisend_common.mail.reply import Reply


class BounceKind(StrEnum):
    """Whether the recipient is gone (suppressed from now on) or only this mail was refused."""

    BOUNCE = "bounce"
    BLOCKED = "blocked"


class Delivered(msgspec.Struct, frozen=True, tag="delivered"):
    """The server took the mail: from its 250 to the final dot on, it is the server's (RFC 5321 6.1)."""

    reply: Reply


class Deferred(msgspec.Struct, frozen=True, tag="deferred"):
    """Try again later. `reply` is None when no server answered at all; `why` then says what happened."""

    why: str
    reply: Reply | None = None


class Bounced(msgspec.Struct, frozen=True, tag="bounced"):
    """Never try again. `status` is an enhanced code (RFC 3463), ours where no server said one."""

    why: str
    status: str
    kind: BounceKind
    reply: Reply | None = None


class Unknown(msgspec.Struct, frozen=True, tag="unknown"):
    """The final dot may have been sent and no reply is known: the mail may have arrived (RFC 1047)."""

    why: str


Verdict = Delivered | Deferred | Bounced | Unknown
