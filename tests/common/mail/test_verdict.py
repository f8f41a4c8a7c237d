import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.mail.reply import Reply
from scaisend_common.mail.verdict import Bounced, BounceKind, Deferred, Delivered, Stage, Unknown, expired, judge, judge_loss

stages = st.sampled_from(Stage)
details = st.tuples(st.integers(0, 9), st.integers(0, 40))
texts = st.text(max_size=40) | st.sampled_from(["user unknown", "mailbox full", "blocked by Spamhaus", "try again later", "no such user"])


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    code = draw(st.integers(200, 599))
    enhanced = draw(st.just("") | details.map(lambda detail: f"{code // 100}.{detail[0]}.{detail[1]}")) if code // 100 != 3 else ""
    return Reply(code, enhanced, draw(texts))


@given(stages, replies())
def test_the_first_digit_and_the_stage_decide_and_words_never_do(stage: Stage, reply: Reply) -> None:
    verdict = judge(stage, reply)
    before_the_mail = stage in (Stage.CONNECT, Stage.EHLO, Stage.TLS)
    assert isinstance(verdict, Delivered) == (reply.code // 100 == 2 and stage is Stage.DOT)
    assert isinstance(verdict, Bounced) == (reply.code // 100 == 5 and not before_the_mail)
    assert not isinstance(verdict, Unknown)


@given(stages, replies())
def test_a_verdict_keeps_the_reply_and_a_permanent_one_never_carries_a_temporary_status(stage: Stage, reply: Reply) -> None:
    verdict = judge(stage, reply)
    assert not isinstance(verdict, Unknown)
    assert verdict.reply == reply
    if isinstance(verdict, Bounced):
        assert verdict.status.startswith("5.")
        assert verdict.status == (reply.enhanced or verdict.status)
        assert verdict.why == str(reply)


@given(stages, replies())
def test_a_refusal_by_policy_or_of_the_sender_is_never_a_bounce(stage: Stage, reply: Reply) -> None:
    verdict = judge(stage, reply)
    if isinstance(verdict, Bounced) and (stage is Stage.MAIL or reply.enhanced.startswith("5.7.") or reply.enhanced == "5.2.2"):
        assert verdict.kind is BounceKind.BLOCKED


@given(st.sampled_from([Stage.RCPT, Stage.DATA, Stage.DOT]), texts)
def test_a_recipient_that_does_not_exist_is_a_bounce_wherever_it_is_said(stage: Stage, text: str) -> None:
    verdict = judge(stage, Reply(550, "5.1.1", text))
    assert isinstance(verdict, Bounced)
    assert verdict.kind is BounceKind.BOUNCE


@given(stages, texts)
def test_421_is_never_permanent(stage: Stage, text: str) -> None:
    assert isinstance(judge(stage, Reply(421, "", text)), Deferred)


BOUNCE, BLOCKED = BounceKind.BOUNCE, BounceKind.BLOCKED


@pytest.mark.parametrize(
    ("stage", "reply", "status", "kind"),
    [
        (Stage.RCPT, Reply(550, "5.1.1", "User unknown"), "5.1.1", BOUNCE),
        (Stage.RCPT, Reply(550, "", "No such user here"), "5.1.1", BOUNCE),
        (Stage.RCPT, Reply(550, "", "Requested action not taken: mailbox unavailable"), "5.1.1", BOUNCE),
        (Stage.RCPT, Reply(550, "5.0.0", "User unknown"), "5.0.0", BOUNCE),
        (Stage.RCPT, Reply(550, "5.0.0", "We do not like you"), "5.0.0", BLOCKED),
        (Stage.RCPT, Reply(550, "5.4.1", "Recipient address rejected: Access denied. AS(201806281)"), "5.4.1", BOUNCE),
        (Stage.RCPT, Reply(550, "5.1.10", "RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup"), "5.1.10", BOUNCE),
        (Stage.RCPT, Reply(553, "5.1.2", "the recipient address is not a valid RFC-5321 address"), "5.1.2", BOUNCE),
        (Stage.RCPT, Reply(556, "", "Recipient address has a null MX"), "5.1.10", BOUNCE),
        (Stage.RCPT, Reply(552, "5.2.2", "Mailbox full"), "5.2.2", BLOCKED),
        (Stage.RCPT, Reply(552, "", "Too many recipients"), "5.2.2", BLOCKED),
        (Stage.RCPT, Reply(552, "", "Requested action aborted"), "5.2.2", BLOCKED),
        (Stage.RCPT, Reply(552, "", "Requested mail action aborted, mailbox not found"), "5.1.1", BOUNCE),
        (Stage.RCPT, Reply(550, "5.2.1", "The account is disabled"), "5.2.1", BLOCKED),
        (Stage.RCPT, Reply(550, "", "5.7.1 Service unavailable, client host blocked using Spamhaus; user unknown"), "5.7.1", BLOCKED),
        (Stage.RCPT, Reply(550, "5.7.1", "User unknown"), "5.7.1", BLOCKED),
        (Stage.RCPT, Reply(550, "", "no"), "5.0.0", BLOCKED),
        (Stage.RCPT, Reply(554, "", "delivery error: dd This user doesn't have a yahoo.com account"), "5.1.1", BOUNCE),
        (Stage.MAIL, Reply(550, "5.1.1", "Sender unknown"), "5.1.1", BLOCKED),
        (Stage.MAIL, Reply(553, "", "sorry, that sender is not known"), "5.1.8", BLOCKED),
        (Stage.MAIL, Reply(552, "", "Message size exceeds fixed limit"), "5.3.4", BLOCKED),
        (Stage.DATA, Reply(554, "", "no valid recipients"), "5.0.0", BLOCKED),
        (Stage.DOT, Reply(552, "", "Message size exceeds fixed maximum message size"), "5.3.4", BLOCKED),
        (Stage.DOT, Reply(552, "", "quota exceeded"), "5.2.2", BLOCKED),
        (Stage.DOT, Reply(554, "5.7.1", "Message looks like spam"), "5.7.1", BLOCKED),
        (Stage.DOT, Reply(550, "", "Message contains a virus"), "5.7.1", BLOCKED),
    ],
)
def test_refusals_as_they_are_found(stage: Stage, reply: Reply, status: str, kind: BounceKind) -> None:
    assert judge(stage, reply) == Bounced(str(reply), status, kind, reply)


@pytest.mark.parametrize(
    ("stage", "reply"),
    [
        (Stage.CONNECT, Reply(554, "", "no SMTP service here")),
        (Stage.EHLO, Reply(550, "", "go away")),
        (Stage.TLS, Reply(501, "", "no TLS")),
        (Stage.RCPT, Reply(450, "4.2.0", "Greylisted")),
        (Stage.RCPT, Reply(452, "4.5.3", "Too many recipients")),
        (Stage.DATA, Reply(250, "", "Ok")),
        (Stage.MAIL, Reply(354, "", "go ahead")),
        (Stage.DOT, Reply(354, "", "go ahead")),
        (Stage.DOT, Reply(451, "4.3.0", "Mail server temporarily rejected message")),
    ],
)
def test_what_is_neither_taken_nor_refused_for_good_is_deferred(stage: Stage, reply: Reply) -> None:
    verdict = judge(stage, reply)
    assert isinstance(verdict, Deferred)
    assert verdict.reply == reply
    assert str(reply) in verdict.why


@given(stages, st.text(max_size=20))
def test_a_loss_is_in_doubt_exactly_when_the_dot_was_sent(stage: Stage, why: str) -> None:
    assert judge_loss(stage, True, why) == Unknown(why)
    assert isinstance(judge_loss(stage, False, why), Deferred)


@given(stages, replies().filter(lambda reply: reply.code // 100 == 4))
def test_what_expires_is_blocked_and_keeps_its_last_reason(stage: Stage, reply: Reply) -> None:
    last = judge(stage, reply)
    assert isinstance(last, Deferred)
    assert expired(last) == Bounced(f"expired: {reply}", reply.enhanced or "4.4.7", BounceKind.BLOCKED, reply)
    assert expired(Deferred("no route")).status == "4.4.7"
