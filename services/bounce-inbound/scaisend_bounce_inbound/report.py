"""What a mail that came back says: a failure (RFC 3464, or the words of servers that never read it), a complaint (RFC 5965), or neither.

Whom it is about is never taken from here: the authenticated return path says that (RFC 3461 4.2), so a forged body suppresses nobody else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from scaisend_bounce_inbound.mime import Entity, field_groups, leaves, parse


@dataclass(frozen=True, slots=True)
class Failure:
    """The mail was not delivered: `status` an enhanced code (RFC 3463), `diagnostic` the server's words."""

    status: str
    diagnostic: str


@dataclass(frozen=True, slots=True)
class Complaint:
    """A feedback report; `kind` its Feedback-Type. `return_paths` are the reverse-paths that it quotes, in the order of trust."""

    kind: str
    return_paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NoReport:
    """Neither failure nor complaint: a delay, a success, an automatic reply, or anything else."""

    why: str


Report = Failure | Complaint | NoReport

COMPLAINTS = frozenset({"abuse", "fraud", "opt-out", "virus", "other"})  # `not-spam` and `auth-failure` are none

_STATUS = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")
_REPLY = re.compile(
    r"(?<![\d.])(?:SMTP error[^\n]{0,200}?|said:|<<<|response:?|error:?|status:?|Remote[^\n]{0,60}?)\s*\W{0,3}([45]\d\d)[ -]", re.IGNORECASE
)
_BARE_REPLY = re.compile(r"^\W{0,12}(?:SMTP;\s*)?(5\d\d|4\d\d)[ -](?=\D)", re.MULTILINE)
_GONE = re.compile(
    r"user(?:name)? (?:is )?unknown|unknown (?:user|recipient|local|address)|no such (?:user|recipient|address|mailbox|person|account)|"
    r"(?:user|recipient|mailbox|account|address)[^.\n]{0,60}(?:does not exist|doesn't exist|not found|not exist|invalid|no longer)|"
    r"(?:invalid|bad) (?:recipient|mailbox|address)|not (?:a )?(?:known|valid) (?:user|recipient|mailbox|account)|not listed in|"
    r"unrouteable address|host (?:or domain name )?not found|domain[^.\n]{0,30}(?:does not exist|not found)",
    re.IGNORECASE,
)
_FULL = re.compile(
    r"(?:mailbox|quota|disk|account)[^.\n]{0,40}(?:full|exceeded|over quota|is over)|over ?quota|quota exceeded|mailbox size limit",
    re.IGNORECASE,
)
_FAILED = re.compile(
    r"could not be delivered|undeliver|not delivered|delivery (?:has )?failed|permanent (?:fatal )?(?:error|failure)|delivery failure|"
    r"returned (?:mail|to sender)|retry time(?:out)? (?:not reached|exceeded)|failure notice|"
    r"could ?n[o']t (?:be )?deliver|unable to deliver|rejected",
    re.IGNORECASE,
)
_DELAYED = re.compile(
    r"(?:has been|is|was) delayed|delayed mail|delivery delay|not yet been delivered|will be retried|"
    r"still being retried|warning: (?:message|could not)",
    re.IGNORECASE,
)
_VACATION = re.compile(r"out of (?:the )?office|vacation|auto(?:matic)?[- ]?(?:reply|response|antwort)|abwesen", re.IGNORECASE)
_COPY = re.compile(r"^-{2,}+.{0,80}(?:original|copy of|returned|below this line|message follows|header)", re.IGNORECASE | re.MULTILINE)
_MAX_DIAGNOSTIC = 1000
_MAX_WORDS = 16_000


def read_report(mail: bytes) -> Report:
    """Read a mail that arrived at one of our return paths. Bounded in time and depth, never raises."""
    root = parse(mail)
    parts = list(leaves(root))
    feedback = next((part for part in parts if part.media_type == "message/feedback-report"), None)
    if feedback is not None:
        return _complaint(feedback, parts)
    status = next((p for p in parts if p.media_type in {"message/delivery-status", "message/global-delivery-status"}), None)
    if status is not None and (report := _delivery_status(status)) is not None:
        return report
    return _words(root, parts)


def _complaint(feedback: Entity, parts: list[Entity]) -> Report:
    fields: dict[str, str] = {}
    for group in field_groups(feedback.text):
        fields = group | fields
    kind = fields.get("feedback-type", "").lower()
    if kind not in COMPLAINTS:
        return NoReport(f"feedback of type {kind or 'none'}")
    quoted = [parse(part.decoded) for part in parts if part.media_type in {"message/rfc822", "text/rfc822-headers", "message/global"}]
    paths = [fields.get("original-mail-from", ""), *(original.header("Return-Path") for original in quoted)]
    return Complaint(kind, tuple(path.strip("<> ") for path in paths if path.strip("<> ")))


def _delivery_status(part: Entity) -> Report | None:
    """Read the per-recipient groups; None where there is none, so that the words may still tell."""
    recipients = [group for group in field_groups(part.text) if "action" in group or ("status" in group and "final-recipient" in group)]
    failed = next((group for group in recipients if group.get("action", "failed").split()[:1] in (["failed"], [])), None)
    if failed is None:
        return NoReport(f"action {recipients[0].get('action', '')}") if recipients else None
    diagnostic = failed.get("diagnostic-code", "").partition(";")[2].strip() or failed.get("diagnostic-code", "")
    status = _STATUS.search(failed.get("status", ""))
    said = _STATUS.search(diagnostic)
    if said and said.group(1) in "45":  # what the refusing server said is nearer the cause than what a gateway made of it
        status = said
    if status and status.group(1) == "2":
        return NoReport("a success")
    return Failure(status.group(0) if status else "5.0.0", diagnostic[:_MAX_DIAGNOSTIC])


def _words(root: Entity, parts: list[Entity]) -> Report:
    """Read a bounce that is no RFC 3464 report, as old servers write them, conservatively: in doubt it is none."""
    subject = root.header("Subject")
    from_daemon = re.search(r"mailer-daemon|postmaster|mail delivery|<>", root.header("From") + root.header("Return-Path"), re.IGNORECASE)
    if root.header("Auto-Submitted").lower().startswith("auto-replied") and not (root.header("X-Failed-Recipients") or from_daemon):
        return NoReport("an automatic reply")
    if _VACATION.search(subject) or root.header("X-Autoreply") or root.header("X-Autorespond"):
        return NoReport("an automatic reply")
    text = _own_words(parts)
    if _DELAYED.search(subject) or _DELAYED.search(text[:2000]):
        return NoReport("a delay")
    if not (root.header("X-Failed-Recipients") or from_daemon or _FAILED.search(subject)):
        return NoReport("not from a mail system")
    diagnostic = _sentence(text)
    if found := _STATUS.search(text):
        return Failure(found.group(0), diagnostic) if found.group(1) in "45" else NoReport("a success")
    if _GONE.search(text):
        return Failure("5.1.1", diagnostic)
    if _FULL.search(text):
        return Failure("5.2.2", diagnostic)
    if (reply := _REPLY.search(text) or _BARE_REPLY.search(text)) or _FAILED.search(text) or _FAILED.search(subject):
        return Failure(f"{reply.group(1)[0]}.0.0" if reply else "5.0.0", diagnostic)
    return NoReport("no word of a failure")


def _own_words(parts: list[Entity]) -> str:
    """The text before the copy of the returned mail."""
    text = "\n".join(part.text for part in parts if part.media_type.startswith("text/") and part.media_type != "text/rfc822-headers")
    text = text[:_MAX_WORDS]  # before anything looks through it: a line of a million dashes held the process for seven seconds
    cut = _COPY.search(text)
    return text[: cut.start()] if cut else text


def _sentence(text: str) -> str:
    """The line that says why, for the event's reason."""
    for pattern in (_STATUS, _REPLY, _BARE_REPLY, _GONE, _FULL, _FAILED):
        if found := pattern.search(text):
            start = text.rfind("\n", 0, found.start()) + 1
            return " ".join(text[start : start + 400].split("\n\n")[0].split())[:_MAX_DIAGNOSTIC]
    return ""
