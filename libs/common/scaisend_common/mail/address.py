"""An e-mail address and the mailbox that names it (RFC 5321 4.1.2, RFC 5322 3.4, RFC 6531).

The domain is kept as A-labels in lower case (RFC 5891), the local part as it was written: only its owner may fold it.
"""

from __future__ import annotations

import msgspec


class Address(msgspec.Struct, frozen=True, array_like=True):
    """`local@domain`; `domain` in lower-case A-labels."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"

    @property
    def is_ascii(self) -> bool:
        """Whether a server without SMTPUTF8 can be given this address (RFC 6531 3.1)."""
        return self.local.isascii()


class Mailbox(msgspec.Struct, frozen=True, array_like=True):
    """An address with the display name that a header shows; an empty name means none."""

    address: Address
    name: str = ""


def suppression_key(address: Address) -> str:
    """Return the form under which suppressions and stops know an address: wholly in lower case."""
    return str(address).lower()
