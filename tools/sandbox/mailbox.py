"""The mails that were taken, newest kept: bounded by number and by octets."""

from __future__ import annotations

from collections import OrderedDict

from sandbox.mail import Mail

MOST_OCTETS = 512 * 1024 * 1024


class Mailbox:
    """Mails by id; ids count from 1 and are never used again."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._mails: OrderedDict[str, Mail] = OrderedDict()
        self._octets = 0
        self._last = 0

    def __len__(self) -> int:
        return len(self._mails)

    def put(self, mail: Mail) -> str:
        """Keep a mail and return its id; the oldest go where there are too many."""
        self._last += 1
        mail_id = str(self._last)
        self._mails[mail_id] = mail
        self._octets += len(mail.content)
        while len(self._mails) > self._most or (self._octets > MOST_OCTETS and len(self._mails) > 1):
            _, gone = self._mails.popitem(last=False)
            self._octets -= len(gone.content)
        return mail_id

    def get(self, mail_id: str) -> Mail | None:
        """Return a mail, or None where it is not kept (any more)."""
        return self._mails.get(mail_id)

    def newest(self, *, to: str = "", limit: int | None = None) -> list[tuple[str, Mail]]:
        """Return ids and mails, newest first; `to` keeps those with this envelope recipient, in any case."""
        found: list[tuple[str, Mail]] = []
        wanted = to.lower()
        for mail_id, mail in reversed(self._mails.items()):
            if limit is not None and len(found) >= limit:
                break
            if not wanted or any(path.lower() == wanted for path in mail.forward_paths):
                found.append((mail_id, mail))
        return found

    def clear(self) -> None:
        """Forget all mails."""
        self._mails.clear()
        self._octets = 0
