"""Sends the reports back, as a remote MX would: over SMTP, again and again while it is told 4yz."""

from __future__ import annotations

import asyncio
import smtplib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sandbox.mail import Mail
from sandbox.reports import abuse_address, complaint_report, failure_report
from sandbox.scripts import Aftermath

PATIENCE = timedelta(minutes=3)
_FIRST, _LONGEST = 0.25, 5.0  # seconds between tries, doubling
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Report:
    """A report and its envelope; an empty `sender` is the null reverse-path."""

    helo: str
    sender: str
    recipient: str
    content: bytes


def report_of(mail: Mail, recipient: str, aftermath: Aftermath, now: datetime) -> Report | None:
    """Return the report that follows a mail; none goes to a mail without a reverse-path (RFC 5321 4.5.5)."""
    if not mail.reverse_path:
        return None
    match aftermath:
        case Aftermath.BOUNCE:
            return Report(mail.host.name, "", mail.reverse_path, failure_report(mail, recipient, now))
        case Aftermath.COMPLAINT:
            to = abuse_address(mail.reverse_path)
            return Report(mail.host.name, f"feedback@{mail.host.name}", to, complaint_report(mail, recipient, now))
        case Aftermath.NOTHING | Aftermath.DROP:
            return None


class Reporter:
    """Knows the bounce server; `sent` and `given_up` count what became of the reports."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.sent = 0
        self.given_up = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._gate = asyncio.Semaphore(_AT_ONCE)

    def follow(self, mail: Mail, aftermaths: dict[str, Aftermath]) -> None:
        """Send, some time from now, what follows from a mail."""
        for recipient, aftermath in aftermaths.items():
            if report := report_of(mail, recipient, aftermath, datetime.now(UTC)):
                task = asyncio.create_task(self._send(report))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what is not sent."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _send(self, report: Report) -> None:
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + PATIENCE.total_seconds(), _FIRST
        while True:
            async with self._gate:
                why = await asyncio.to_thread(submit, report, self.address)
            if not why:
                self.sent += 1
                return
            if why.startswith("5") or loop.time() + pause > until:
                self.given_up += 1
                print(f"report to {report.recipient} given up: {why}", file=sys.stderr, flush=True)
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST)


def submit(report: Report, address: str) -> str:
    """Hand a report to the bounce server at `host:port`; return why that failed, empty when it did not. Blocks."""
    host, _, port = address.rpartition(":")
    if not host:
        return "no bounce server is known (yet)"
    said: Callable[[int, bytes], str] = lambda code, text: f"{code} {text.decode('utf-8', 'replace')}"  # noqa: E731 - three uses below
    try:
        with smtplib.SMTP(host, int(port), local_hostname=report.helo, timeout=30) as client:
            client.sendmail(report.sender, [report.recipient], report.content)
    except smtplib.SMTPRecipientsRefused as refused:
        return said(*next(iter(refused.recipients.values())))
    except smtplib.SMTPResponseException as refused:
        return said(refused.smtp_code, refused.smtp_error if isinstance(refused.smtp_error, bytes) else refused.smtp_error.encode())
    except (OSError, smtplib.SMTPException) as error:
        return f"{type(error).__name__}: {error}"
    return ""
