import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.mail.bounce import (
    CONTENT,
    FREQUENCY,
    INVALID_ADDRESS,
    MAILBOX_UNAVAILABLE,
    REPUTATION,
    TECHNICAL,
    UNCLASSIFIED,
    classify,
    suppresses,
)
from scaisend_common.mail.reply import Reply
from scaisend_common.mail.verdict import Bounced, BounceKind, Deferred, Stage, expired, judge

CLASSES = [INVALID_ADDRESS, TECHNICAL, CONTENT, REPUTATION, FREQUENCY, MAILBOX_UNAVAILABLE, UNCLASSIFIED]
statuses = st.tuples(st.sampled_from("245"), st.integers(0, 9), st.integers(0, 600)).map(lambda parts: ".".join(map(str, parts)))
texts = st.text(max_size=60) | st.sampled_from(["user unknown", "mailbox full", "blocked by Spamhaus", "spam", "rate limited"])


@given(st.none() | st.builds(Reply, st.integers(400, 599), st.just(""), texts), statuses | st.just("") | st.text(max_size=10), texts)
def test_every_failure_has_a_class_that_sendgrid_knows(reply: Reply | None, status: str, why: str) -> None:
    assert classify(reply, status, why) in CLASSES


@given(st.integers(0, 600), texts)
def test_a_refusal_by_policy_says_nothing_of_the_address(detail: int, text: str) -> None:
    status = f"5.7.{detail}"
    classification = classify(Reply(550, status, text), status, "")
    assert classification != INVALID_ADDRESS
    assert not any(suppresses(kind, status, classification) for kind in BounceKind)


@given(statuses, st.sampled_from(CLASSES))
def test_a_block_never_suppresses(status: str, classification: str) -> None:
    assert not suppresses(BounceKind.BLOCKED, status, classification)


@given(texts)
def test_a_recipient_that_does_not_exist_is_suppressed_at_once(text: str) -> None:
    assert suppresses(BounceKind.BOUNCE, "5.1.1", classify(Reply(550, "5.1.1", text), "5.1.1", text))


@pytest.mark.parametrize("status", ["5.2.1", "5.2.2", "5.7.1", "4.4.7", "4.1.1", "5.3.4", "5.6.7", "5.4.4", "550"])
def test_a_full_or_disabled_mailbox_or_a_passing_trouble_is_not_suppressed(status: str) -> None:
    assert not suppresses(BounceKind.BOUNCE, status, classify(None, status, ""))


@pytest.mark.parametrize(
    ("reply", "classification", "suppressed"),
    [
        (Reply(550, "5.1.1", "blocked, and user unknown"), INVALID_ADDRESS, True),
        (Reply(550, "", "No such user"), INVALID_ADDRESS, True),
        (Reply(550, "5.4.1", "Recipient address rejected: Access denied."), INVALID_ADDRESS, True),
        (Reply(556, "", "Domain takes no mail"), INVALID_ADDRESS, True),
        (Reply(552, "5.2.2", "over quota"), MAILBOX_UNAVAILABLE, False),
        (Reply(550, "5.2.1", "account is disabled"), MAILBOX_UNAVAILABLE, False),
        (Reply(550, "5.2.1", "receiving mail at a rate that prevents"), FREQUENCY, False),
        (Reply(550, "5.7.1", "blocked using zen.spamhaus.org"), REPUTATION, False),
        (Reply(550, "5.7.26", "unauthenticated"), REPUTATION, False),
        (Reply(554, "5.7.1", "message is spam"), CONTENT, False),
        (Reply(550, "5.7.28", "unusual"), FREQUENCY, False),
        (Reply(552, "5.3.4", "too large"), TECHNICAL, False),
        (Reply(554, "5.6.0", "bad MIME"), CONTENT, False),
        (Reply(550, "", "relaying denied"), TECHNICAL, False),
        (Reply(554, "", "I am in a bad mood"), UNCLASSIFIED, False),
    ],
)
def test_refusals_of_a_recipient_are_classified_and_suppress_only_the_gone(reply: Reply, classification: str, suppressed: bool) -> None:
    verdict = judge(Stage.RCPT, reply)
    assert isinstance(verdict, Bounced)
    assert classify(reply, verdict.status, verdict.why) == classification
    assert suppresses(verdict.kind, verdict.status, classification) is suppressed


def test_what_expired_is_classified_by_its_last_reason() -> None:
    for last, classification in [
        (Deferred("452 4.2.2 full", Reply(452, "4.2.2", "full")), MAILBOX_UNAVAILABLE),
        (Deferred("connect: timed out"), TECHNICAL),
        (Deferred("421 4.7.28 slow down", Reply(421, "4.7.28", "slow down")), FREQUENCY),
    ]:
        verdict = expired(last)
        assert classify(verdict.reply, verdict.status, verdict.why) == classification
        assert not suppresses(verdict.kind, verdict.status, classification)
