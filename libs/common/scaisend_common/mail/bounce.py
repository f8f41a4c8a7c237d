"""How a failed delivery is classified, in SendGrid's words, and whether its recipient is suppressed from then on.

STANDARDS: RFC 3463 and the IANA registry of enhanced status codes. Codes decide where they are specific, words where they are not.
"""

from __future__ import annotations

from scaisend_common.mail.reply import Reply
from scaisend_common.mail.verdict import BounceKind
from scaisend_common.mail.wording import Reading, reading

INVALID_ADDRESS = "Invalid Address"
TECHNICAL = "Technical"
CONTENT = "Content"
REPUTATION = "Reputation"
FREQUENCY = "Frequency or Volume Too High"
MAILBOX_UNAVAILABLE = "Mailbox Unavailable"
UNCLASSIFIED = "Unclassified"

_BY_READING = {
    Reading.RATE: FREQUENCY,
    Reading.AUTHENTICATION: REPUTATION,
    Reading.REPUTATION: REPUTATION,
    Reading.CONTENT: CONTENT,
    Reading.SIZE: TECHNICAL,
    Reading.FULL: MAILBOX_UNAVAILABLE,
    Reading.DISABLED: MAILBOX_UNAVAILABLE,
    Reading.GONE: INVALID_ADDRESS,
    Reading.TECHNICAL: TECHNICAL,
}
# By subject and detail, whatever the class: a 4.2.2 that expired is a full mailbox as well.
_BY_DETAIL = {
    "1.1": INVALID_ADDRESS,
    "1.2": INVALID_ADDRESS,
    "1.3": INVALID_ADDRESS,
    "1.6": INVALID_ADDRESS,
    "1.10": INVALID_ADDRESS,
    "1.7": TECHNICAL,  # the sender's address
    "1.8": TECHNICAL,
    "2.1": MAILBOX_UNAVAILABLE,
    "2.2": MAILBOX_UNAVAILABLE,
    "2.3": TECHNICAL,  # too large
    "3.4": TECHNICAL,
    "6.7": TECHNICAL,  # an address that needs SMTPUTF8
    "7.23": REPUTATION,  # SPF, reverse DNS, DKIM, DMARC
    "7.25": REPUTATION,
    "7.26": REPUTATION,
    "7.27": REPUTATION,
    "7.28": FREQUENCY,
    "7.38": FREQUENCY,
    "7.515": REPUTATION,
}
_BY_SUBJECT = {
    "1": INVALID_ADDRESS,
    "2": MAILBOX_UNAVAILABLE,
    "3": TECHNICAL,
    "4": TECHNICAL,
    "5": TECHNICAL,
    "6": CONTENT,
    "7": REPUTATION,
}
_SUPPRESSING = frozenset(("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"))


def classify(verdict_reply: Reply | None, status: str, why: str) -> str:
    """Return SendGrid's bounce_classification of a failure: from the server's reply, if one was given, its status, and our words for it."""
    _, _, detail = status.partition(".")
    if detail in _BY_DETAIL and detail != "2.1":
        return _BY_DETAIL[detail]
    words = reading(verdict_reply.text if verdict_reply else why)
    if words is Reading.GONE and detail.startswith("7."):
        words = None  # a refusal by policy says nothing of the address
    if words is not None:
        return _BY_READING[words]
    return _BY_DETAIL.get(detail) or _BY_SUBJECT.get(detail.partition(".")[0], UNCLASSIFIED)


def suppresses(kind: BounceKind, status: str, classification: str) -> bool:
    """Tell whether the recipient must not be written to any more: only where it, and not this mail or its sender, was refused for good."""
    if kind is not BounceKind.BOUNCE or not status.startswith("5") or status.startswith("5.7."):
        return False
    return status in _SUPPRESSING or classification == INVALID_ADDRESS
