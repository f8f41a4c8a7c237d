"""The reports that an MX sends back: a failure (RFC 3464, RFC 6522) and a complaint (RFC 5965). Pure.

Built by the standard library on purpose: what our services read in tests is not written by our own code.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message
from email.mime.base import MIMEBase
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.mime.text import MIMEText
from email.policy import compat32
from email.utils import format_datetime, make_msgid

from sandbox.mail import Mail

_WIRE = compat32.clone(linesep="\r\n")
_DIAGNOSTIC = "550 5.1.1 The mailbox was closed after the mail had been accepted"


def failure_report(mail: Mail, recipient: str, now: datetime) -> bytes:
    """Return the DSN that says `recipient` could not be reached; it goes to the mail's reverse-path, from `<>`."""
    report = _report(mail, "delivery-status", now, subject="Undelivered Mail Returned to Sender", sender=f"MAILER-DAEMON@{mail.host.name}")
    report["To"] = mail.reverse_path
    report["Auto-Submitted"] = "auto-replied"
    report.attach(
        _text(f"This is the mail system at {mail.host.name}.\n\nYour mail could not be delivered to <{recipient}>:\n{_DIAGNOSTIC}\n")
    )
    status = MIMEBase("message", "delivery-status")
    status.set_payload(
        [
            _fields({"Reporting-MTA": f"dns; {mail.host.name}", "Arrival-Date": _date(mail.received_at)}),
            _fields(
                {
                    "Final-Recipient": f"rfc822; {recipient}",
                    "Action": "failed",
                    "Status": "5.1.1",
                    "Remote-MTA": f"dns; {mail.host.name}",
                    "Diagnostic-Code": f"smtp; {_DIAGNOSTIC}",
                    "Last-Attempt-Date": format_datetime(now),
                }
            ),
        ]
    )
    report.attach(status)
    report.attach(_text(mail.header.decode("utf-8", "replace"), "rfc822-headers"))
    return report.as_bytes(policy=_WIRE)


def complaint_report(mail: Mail, recipient: str, now: datetime) -> bytes:
    """Return the ARF report that says `recipient` called the mail spam; it goes to the abuse address of the reverse-path's domain."""
    report = _report(mail, "feedback-report", now, subject="Abuse report", sender=f"feedback@{mail.host.name}")
    report["To"] = abuse_address(mail.reverse_path)
    report.attach(_text(f"A recipient at {mail.host.name} reported this mail as abuse.\n"))
    feedback = MIMENonMultipart("message", "feedback-report")
    fields = {
        "Feedback-Type": "abuse",
        "User-Agent": "sandbox/1",
        "Version": "1",
        "Original-Mail-From": f"<{mail.reverse_path}>",
        "Original-Rcpt-To": f"<{recipient}>",
        "Arrival-Date": _date(mail.received_at),
        "Reporting-MTA": f"dns; {mail.host.name}",
        "Source-IP": mail.peer.rpartition(":")[0],
    }
    feedback.set_payload("".join(f"{name}: {value}\r\n" for name, value in fields.items()))
    report.attach(feedback)
    report.attach(MIMEMessage(message_from_bytes(mail.content)))
    return report.as_bytes(policy=_WIRE)


def abuse_address(reverse_path: str) -> str:
    """Return where complaints about a sender go (RFC 2142 4)."""
    return f"abuse@{reverse_path.rpartition('@')[2]}"


def _report(mail: Mail, kind: str, now: datetime, *, subject: str, sender: str) -> MIMEMultipart:
    report = MIMEMultipart("report", report_type=kind)
    report["From"] = sender
    report["Subject"] = subject
    report["Date"] = format_datetime(now)
    report["Message-ID"] = make_msgid(domain=mail.host.name)
    return report


def _text(text: str, subtype: str = "plain") -> MIMEText:
    return MIMEText(text.replace("\r\n", "\n"), subtype, "us-ascii" if text.isascii() else "utf-8")


def _fields(fields: dict[str, str]) -> Message:
    group = Message()
    for name, value in fields.items():
        group[name] = value
    return group


def _date(at: float) -> str:
    return format_datetime(datetime.fromtimestamp(at, UTC))
