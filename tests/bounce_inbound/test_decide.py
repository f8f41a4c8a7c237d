from __future__ import annotations

from datetime import UTC, datetime
from os import urandom

import pytest

from scaisend_bounce_inbound.decide import Delivery, event_of
from scaisend_bounce_inbound.report import Complaint, Failure, NoReport
from scaisend_common.mail.bounce import suppresses
from scaisend_common.mail.events import BounceEvent, Origin, SpamReportEvent
from scaisend_common.mail.ids import delivery_id, submission_id
from scaisend_common.mail.verdict import BounceKind

NOW = datetime(2026, 11, 23, tzinfo=UTC)
DELIVERY = Delivery("t", delivery_id(submission_id(1_790_000_000_000, urandom(10)), 0, 0), "a@b.test", Origin(subject="s"), "<m@x>")


@pytest.mark.parametrize(
    ("status", "words", "kind", "is_suppressed"),
    [
        ("5.1.1", "550 5.1.1 User unknown", BounceKind.BOUNCE, True),
        ("5.1.1", "", BounceKind.BOUNCE, True),
        ("5.2.2", "552 5.2.2 Mailbox full", BounceKind.BLOCKED, False),
        ("5.7.1", "554 5.7.1 Rejected for policy reasons", BounceKind.BLOCKED, False),
        ("4.4.7", "Message expired", BounceKind.BLOCKED, False),
    ],
)
def test_only_a_recipient_that_is_gone_is_suppressed(status: str, words: str, kind: BounceKind, is_suppressed: bool) -> None:
    event = event_of(Failure(status, words), DELIVERY, NOW)
    assert isinstance(event, BounceEvent)
    assert (event.kind, event.status, event.asynchronous) == (kind, status, True)
    assert suppresses(event.kind, event.status, event.classification) is is_suppressed
    assert (event.email, event.origin, event.message_id) == ("a@b.test", Origin(subject="s"), "<m@x>")


def test_the_same_report_twice_is_the_same_fact() -> None:
    first, second = (event_of(Failure("5.1.1", words), DELIVERY, NOW) for words in ("one", "other"))
    assert first is not None
    assert second is not None
    assert first.event_id == second.event_id


def test_a_complaint_is_a_spam_report() -> None:
    assert isinstance(event_of(Complaint("abuse", ()), DELIVERY, NOW), SpamReportEvent)


def test_what_is_no_report_makes_no_event() -> None:
    assert event_of(NoReport("a delay"), DELIVERY, NOW) is None
