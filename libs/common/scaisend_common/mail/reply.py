"""A reply of an SMTP server (RFC 5321 4.2, enhanced codes of RFC 3463 and RFC 2034)."""

from __future__ import annotations

import msgspec


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """What a server said: `code` 200 to 599, `enhanced` such as `5.1.1` or empty, `text` of all lines joined by a space, as received."""

    code: int
    enhanced: str
    text: str

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)
