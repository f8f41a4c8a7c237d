"""What was delivered is what a verifier accepts: the dumped mails, by dkimpy."""

from __future__ import annotations

import dkim


def verified(mails: list[bytes], records: dict[str, str]) -> str:
    """Return `N of M` for the mails whose DKIM signature verifies against these TXT records; raises when any does not."""

    def lookup(name: bytes, timeout: int = 5) -> bytes | None:  # noqa: ARG001 - dkimpy's signature
        value = records.get(name.decode().lower())
        return value.encode() if value else None

    good = sum(1 for mail in mails if dkim.verify(mail, dnsfunc=lookup))
    if good != len(mails) or not mails:
        raise RuntimeError(f"DKIM: only {good} of {len(mails)} dumped mails verify")
    return f"{good} of {len(mails)}"
