"""What a recipient's local part makes its MX do. Pure.

    ok…, anything else  accepted          defer-N      451 to the first N RCPT, then accepted
    bounce    550 5.1.1                   greylist     451 until `GREYLIST` after the first RCPT, then accepted
    full      552 5.2.2                   slow-S       accepted after S seconds (0.5 is fine)
    block     554 5.7.1                   drop         the connection dies in the middle of DATA
    asyncbounce  accepted, then an RFC 3464 report comes back
    complain     accepted, then an RFC 5965 report comes back

A `+tag` makes another address with a count of its own: `defer-2+one@tls.test`. Case does not matter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

GREYLIST = timedelta(seconds=1)
LONGEST = timedelta(minutes=10)


class Aftermath(Enum):
    """What follows once a mail is accepted."""

    NOTHING = "nothing"
    BOUNCE = "asyncbounce"
    COMPLAINT = "complain"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Take:
    """250 after `wait`."""

    aftermath: Aftermath = Aftermath.NOTHING
    wait: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Refuse:
    """A reply line of 4yz or 5yz."""

    reply: str


Action = Take | Refuse

_TAKE = Take()
_FIXED: dict[str, Action] = {
    "bounce": Refuse("550 5.1.1 No such user here"),
    "full": Refuse("552 5.2.2 Mailbox full"),
    "block": Refuse("554 5.7.1 Your mail is not wanted here"),
    "drop": Take(Aftermath.DROP),
    "asyncbounce": Take(Aftermath.BOUNCE),
    "complain": Take(Aftermath.COMPLAINT),
}
_DEFER = re.compile(r"defer-(\d{1,9})")
_SLOW = re.compile(r"slow-(\d{1,9}(?:\.\d{1,9})?)")


def act(local: str, seen: int, age: timedelta) -> Action:
    """Return what to do at RCPT: `seen` RCPTs for this full address came before, the first of them `age` ago."""
    script = local.lower().partition("+")[0]
    if fixed := _FIXED.get(script):
        return fixed
    if script == "greylist":
        return _TAKE if seen and age >= GREYLIST else Refuse("451 4.7.1 Greylisted, try again later")
    if defer := _DEFER.fullmatch(script):
        return _TAKE if seen >= int(defer[1]) else Refuse(f"451 4.3.2 Try again later ({seen + 1} of {defer[1]})")
    if slow := _SLOW.fullmatch(script):
        return Take(wait=min(timedelta(seconds=min(float(slow[1]), LONGEST.total_seconds())), LONGEST))
    return _TAKE
