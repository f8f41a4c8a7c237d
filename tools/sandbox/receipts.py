"""The receipts: an append-only file of JSON lines that says what every MX host saw, for a checker that trusts no service.

    {"what": "start", "at": 1770000000.0}      sessions count from 1 again, and those open before are gone
    {"what": "open", "at": 1770000000.1, "session": "7", "site": "tls.test", "mx": "mx.tls.test", "address": "127.25.1.1",
     "peer": "127.0.0.1:4711"}
    {"what": "mail", "at": …, "session": "7", "site": …, "mx": …, "address": …, "from": "b.…@rp.demo.test", "rcpt": "ok@tls.test",
     "message_id": "<…>", "verdict": "250", "tls": true, "octets": 1234, "id": "17"}            one line per recipient
    {"what": "refused", "at": …, "session": "7", "site": …, "mx": …, "address": …, "rcpt": "bounce@tls.test", "verdict": "550 5.1.1 …"}
    {"what": "close", "at": …, "session": "7", "site": …, "mx": …, "address": …}

A `mail` line is written before the 250 leaves: what a client was told is in the file; a line whose 250 nobody read is an attempt in doubt.
Open minus closed lines of a site, in the order of the file, are its concurrent connections.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

import msgspec

from sandbox.mail import Mail
from sandbox.zones import MxHost

_encode = msgspec.json.Encoder().encode


class SiteCount(msgspec.Struct):
    """Connections to one site: open now, most at once, opened since the start; and what came of the recipients."""

    open: int = 0
    most: int = 0
    opened: int = 0
    accepted: int = 0
    refused: int = 0


class Receipts:
    """Counts per site, and the file where there is one: whole lines, unbuffered, so that a reader sees all that was answered."""

    def __init__(self, file: Path | None) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644) if file else None
        self.sites: dict[str, SiteCount] = {}
        self.verdicts: Counter[str] = Counter()
        self._write([{"what": "start", "at": time.time()}])

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def opened(self, session: str, host: MxHost, peer: str) -> None:
        """Note a connection."""
        site = self._site(host)
        site.opened += 1
        site.open += 1
        site.most = max(site.most, site.open)
        self._write([{"what": "open", "at": time.time(), "session": session, **_place(host), "peer": peer}])

    def closed(self, session: str, host: MxHost) -> None:
        """Note its end."""
        self._site(host).open -= 1
        self._write([{"what": "close", "at": time.time(), "session": session, **_place(host)}])

    def refused(self, session: str, host: MxHost, address: str, reply: str) -> None:
        """Note a recipient answered with 4yz or 5yz."""
        self._site(host).refused += 1
        self.verdicts[reply[:3]] += 1
        self._write([{"what": "refused", "at": time.time(), "session": session, **_place(host), "rcpt": address, "verdict": reply}])

    def taken(self, mail: Mail, mail_id: str) -> None:
        """Note a mail about to be answered with 250."""
        self._site(mail.host).accepted += len(mail.forward_paths)
        self.verdicts["250"] += len(mail.forward_paths)
        if self._file is None:
            return
        shared = {
            "what": "mail",
            "at": mail.received_at,
            "session": mail.session,
            **_place(mail.host),
            "from": mail.reverse_path,
            "message_id": mail.message_id,
            "verdict": "250",
            "tls": mail.tls,
            "octets": len(mail.content),
            "id": mail_id,
        }
        self._write([{**shared, "rcpt": address} for address in mail.forward_paths])

    def _site(self, host: MxHost) -> SiteCount:
        return self.sites.setdefault(host.site, SiteCount())

    def _write(self, lines: list[dict[str, object]]) -> None:
        if self._file is not None:
            os.write(self._file, b"".join(_encode(line) + b"\n" for line in lines))


def _place(host: MxHost) -> dict[str, object]:
    return {"site": host.site, "mx": host.name, "address": host.address}
