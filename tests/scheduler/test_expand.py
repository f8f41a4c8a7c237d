from __future__ import annotations

from hypothesis import given
from tests.scheduler.making import T0, a_submission, box, headers, submissions

from scaisend_common.messages import Personalization, Personalizations, Submission
from scaisend_scheduler.route.expand import LIFETIME, expand, merge_headers


def inline(submission: Submission) -> Personalizations:
    assert isinstance(submission.personalizations, Personalizations)
    return submission.personalizations


@given(submissions)
def test_every_recipient_is_expanded_exactly_once_in_the_order_to_cc_bcc(submission: Submission) -> None:
    found = list(expand(submission, inline(submission), repeat=False))
    expected = [
        (f"{submission.submission_id}.{number}.{index}", mailbox.address)
        for number, each in enumerate(inline(submission).items)
        for index, mailbox in enumerate([*each.to, *each.cc, *each.bcc])
    ]
    assert [(each.delivery_id, each.rcpt) for each in found] == expected


@given(submissions)
def test_a_head_shows_to_and_cc_of_its_own_personalization_and_nothing_of_bcc(submission: Submission) -> None:
    for delivery in expand(submission, inline(submission), repeat=False):
        own = inline(submission).items[int(delivery.delivery_id.split(".")[1])]
        head = delivery.message.head
        assert (head.to, head.cc) == (own.to, own.cc)
        shown = {mailbox.address for mailbox in (*head.to, *head.cc, *head.reply_to)}
        assert not shown & ({mailbox.address for mailbox in own.bcc} - {mailbox.address for mailbox in (*own.to, *own.cc)})


@given(submissions)
def test_what_a_personalization_says_comes_before_what_the_submission_says(submission: Submission) -> None:
    for delivery in expand(submission, inline(submission), repeat=False):
        own = inline(submission).items[int(delivery.delivery_id.split(".")[1])]
        message = delivery.message
        assert message.head.sender == (own.sender or submission.sender)
        assert message.head.subject == (submission.subject if own.subject is None else own.subject)
        assert message.send_at == (submission.send_at if own.send_at is None else own.send_at)
        assert message.origin.custom_args == {**submission.custom_args, **own.custom_args}
        assert message.origin.from_email == str(message.head.sender.address)
        assert message.expires_at == max(T0, message.send_at or 0) + LIFETIME
        assert message.head.substitutions == own.substitutions
        assert message.head.template_data == own.template_data


@given(headers, headers)
def test_no_header_name_appears_twice_in_two_cases_by_merging(common: dict[str, str], own: dict[str, str]) -> None:
    merged = merge_headers(common, own)
    assert own.items() <= merged.items()
    owned = {name.lower() for name in own}
    assert {name: value for name, value in merged.items() if name.lower() not in owned} == {
        name: value for name, value in common.items() if name.lower() not in owned
    }


def test_a_repeated_submission_makes_repeats() -> None:
    first = a_submission("ann@plain.test")
    again = a_submission("ann@plain.test", repeat=True)
    assert [each.message.repeat for each in expand(first, inline(first), repeat=False)] == [False]
    assert [each.message.repeat for each in expand(first, inline(first), repeat=True)] == [True]
    assert [each.message.repeat for each in expand(again, inline(again), repeat=False)] == [True]


def test_deliveries_of_one_personalization_share_one_message() -> None:
    submission = a_submission(personalizations=Personalizations((Personalization(to=(box("a@x.test"), box("b@x.test"))),)))
    first, second = expand(submission, inline(submission), repeat=False)
    assert first.message is second.message
