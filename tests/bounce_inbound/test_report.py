from __future__ import annotations

from time import process_time

import pytest

from scaisend_bounce_inbound.report import Complaint, Failure, NoReport, read_report


def dsn(fields: str, *, about: str = "Reporting-MTA: dns; mx.b.test", kind: str = "delivery-status") -> bytes:
    return (
        "From: MAILER-DAEMON@mx.b.test\r\nSubject: Undelivered Mail Returned to Sender\r\nMIME-Version: 1.0\r\n"
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="B/x"\r\n\r\n'
        "--B/x\r\nContent-Type: text/plain\r\n\r\nI am sorry.\r\n\r\n"
        f"--B/x\r\nContent-Type: message/{kind}\r\n\r\n{about}\r\n\r\n{fields}\r\n\r\n"
        "--B/x\r\nContent-Type: message/rfc822\r\n\r\nSubject: hello\r\n\r\nbody\r\n--B/x--\r\n"
    ).encode()


def arf(kind: str) -> bytes:
    return (
        'Content-Type: multipart/report; report-type=feedback-report; boundary="f"\r\n\r\n--f\r\nContent-Type: text/plain\r\n\r\nAn abuse report.\r\n'
        f"--f\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: {kind}\r\nUser-Agent: X/1\r\nVersion: 1\r\n"
        "Original-Mail-From: <b.aaa@bounces.x.test>\r\n\r\n"
        "--f\r\nContent-Type: message/rfc822\r\n\r\nReturn-Path: <b.bbb@bounces.x.test>\r\nSubject: s\r\n\r\nx\r\n--f--\r\n"
    ).encode()


@pytest.mark.parametrize("kind", ["delivery-status", "global-delivery-status"])
def test_a_failed_recipient_is_a_failure_with_its_status_and_words(kind: str) -> None:
    mail = dsn(
        "Final-Recipient: rfc822; a@b.test\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1\r\n  No such user",
        kind=kind,
    )
    assert read_report(mail) == Failure("5.1.1", "550 5.1.1 No such user")


@pytest.mark.parametrize("action", ["delayed", "delivered", "relayed", "expanded"])
def test_only_the_action_failed_is_a_failure(action: str) -> None:
    assert isinstance(read_report(dsn(f"Final-Recipient: rfc822; a@b.test\r\nAction: {action}\r\nStatus: 4.0.0")), NoReport)


def test_the_refusing_servers_own_code_beats_the_gateways() -> None:
    mail = dsn("Final-Recipient: rfc822; a@b.test\r\nAction: failed\r\nStatus: 5.0.0\r\nDiagnostic-Code: smtp; 550 5.7.1 blocked")
    assert read_report(mail) == Failure("5.7.1", "550 5.7.1 blocked")


@pytest.mark.parametrize("kind", ["abuse", "fraud", "opt-out"])
def test_a_feedback_report_is_a_complaint_with_the_paths_it_quotes(kind: str) -> None:
    assert read_report(arf(kind)) == Complaint(kind, ("b.aaa@bounces.x.test", "b.bbb@bounces.x.test"))


@pytest.mark.parametrize("kind", ["not-spam", "auth-failure"])
def test_feedback_that_blames_no_mail_is_no_complaint(kind: str) -> None:
    assert isinstance(read_report(arf(kind)), NoReport)


@pytest.mark.parametrize(
    "mail",
    [
        b"From: jane@b.test\r\nSubject: Out of office\r\nAuto-Submitted: auto-replied\r\n\r\nI am away, 5.1.1 is my room.\r\n",
        b"From: jane@b.test\r\nSubject: Re: hello\r\n\r\nThank you, user unknown to me!\r\n",
        b"From: MAILER-DAEMON@b.test\r\nSubject: Warning: message delayed\r\n\r\nIt will be retried. 4.4.1\r\n",
        b"",
    ],
)
def test_replies_and_delays_are_no_failures(mail: bytes) -> None:
    assert isinstance(read_report(mail), NoReport)


@pytest.mark.parametrize(
    ("mail", "status"),
    [
        (
            b"From: MAILER-DAEMON@b.test\r\nSubject: failure notice\r\n\r\n<a@b.test>:\r\nSorry, no mailbox here by that name. (#5.1.1)\r\n",
            "5.1.1",
        ),
        (
            b"X-Failed-Recipients: a@b.test\r\nFrom: Mail Delivery System <x@b.test>\r\n\r\nA message could not be delivered.\r\n  user unknown\r\n",
            "5.1.1",
        ),
        (b"From: <>\r\nSubject: Returned mail\r\n\r\nThe mailbox is over quota.\r\n", "5.2.2"),
        (b"From: postmaster@b.test\r\nSubject: Undeliverable\r\n\r\nhost mx said: 554 rejected for policy reasons\r\n", "5.0.0"),
    ],
)
def test_old_servers_words_are_understood(mail: bytes, status: str) -> None:
    report = read_report(mail)
    assert isinstance(report, Failure)
    assert report.status == status


def test_the_copy_of_the_returned_mail_is_not_read_as_words_of_the_server() -> None:
    mail = b"From: MAILER-DAEMON@b.test\r\nSubject: failure notice\r\n\r\nNot delivered.\r\n\r\n--- Below this line is a copy of the message.\r\n\r\nuser unknown 5.1.1\r\n"
    assert read_report(mail) == Failure("5.0.0", "Not delivered.")


@pytest.mark.parametrize("text", [b"-" * 1_000_000, (b"-" * 98 + b"\n") * 10_000], ids=["one line", "many lines"])
def test_a_million_dashes_from_a_stranger_cost_milliseconds(text: bytes) -> None:
    began = process_time()
    read_report(b"From: mailer-daemon@x.test\r\n\r\n" + text)
    assert process_time() - began < 1
