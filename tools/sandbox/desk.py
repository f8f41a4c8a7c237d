"""Where the MX hosts ask what to do with a recipient, and hand in what they took."""

from __future__ import annotations

import time
from datetime import timedelta

from sandbox.mail import Mail
from sandbox.mailbox import Mailbox
from sandbox.receipts import Receipts
from sandbox.reporter import Reporter
from sandbox.scripts import Action, Aftermath, act
from sandbox.zones import MxHost

_MOST_ADDRESSES = 200_000  # under load the oldest are forgotten


class FrontDesk:
    """The `Desk` of all hosts: counts RCPTs per address, keeps mails, writes receipts, starts reports."""

    def __init__(self, mailbox: Mailbox, receipts: Receipts, reporter: Reporter) -> None:
        self._mailbox = mailbox
        self._receipts = receipts
        self._reporter = reporter
        self._seen: dict[str, tuple[int, float]] = {}  # RCPTs so far, time of the first

    def opened(self, session: str, host: MxHost, peer: str) -> None:
        """Note a connection."""
        self._receipts.opened(session, host, peer)

    def closed(self, session: str, host: MxHost) -> None:
        """Note its end."""
        self._receipts.closed(session, host)

    def recipient(self, address: str) -> Action:
        """Return what the script of the local part asks for at this RCPT."""
        key, now = address.lower(), time.monotonic()
        seen, first = self._seen.get(key, (0, now))
        self._seen[key] = (seen + 1, first)
        if len(self._seen) > _MOST_ADDRESSES:
            del self._seen[next(iter(self._seen))]
        return act(address.rpartition("@")[0], seen, timedelta(seconds=now - first))

    def refused(self, session: str, host: MxHost, address: str, reply: str) -> None:
        """Note a refusal."""
        self._receipts.refused(session, host, address, reply)

    def take(self, mail: Mail, aftermaths: dict[str, Aftermath]) -> str:
        """Keep a mail, note it, start what follows. Returns its id."""
        mail_id = self._mailbox.put(mail)
        self._receipts.taken(mail, mail_id)
        self._reporter.follow(mail, aftermaths)
        return mail_id
