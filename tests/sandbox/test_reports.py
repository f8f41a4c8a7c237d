from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message

from hypothesis import given
from hypothesis import strategies as st

from sandbox.mail import Mail
from sandbox.reporter import report_of
from sandbox.reports import complaint_report, failure_report
from sandbox.scripts import Aftermath
from sandbox.zones import mx_hosts

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
contents = st.one_of(st.binary(max_size=300), st.just(b"Subject: =?utf-8?q?=C3=A9?=\r\nFrom: a@demo.test\r\n\r\n\xc3\xa9\r\n"))


def a_mail(content: bytes, reverse_path: str = "b.token@rp.demo.test") -> Mail:
    return Mail(NOW.timestamp(), mx_hosts(1)[0], "1", "127.0.0.1:4711", "out.test", False, reverse_path, ("x@tls.test",), content)


def fields(part: Message) -> list[Message]:
    payload = part.get_payload()
    assert isinstance(payload, list)
    return [group for group in payload if isinstance(group, Message)]


@given(contents)
def test_a_failure_report_is_one_for_another_reader(content: bytes) -> None:
    report = message_from_bytes(failure_report(a_mail(content), "x@tls.test", NOW))
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    words, status, headers = fields(report)
    assert [part.get_content_type() for part in (words, status, headers)] == [
        "text/plain",
        "message/delivery-status",
        "text/rfc822-headers",
    ]
    message, recipient = fields(status)
    assert message["Reporting-MTA"] == "dns; mx.tls.test"
    assert (recipient["Final-Recipient"], recipient["Action"], recipient["Status"]) == ("rfc822; x@tls.test", "failed", "5.1.1")


@given(contents)
def test_a_complaint_is_one_for_another_reader(content: bytes) -> None:
    report = message_from_bytes(complaint_report(a_mail(content), "x@tls.test", NOW))
    assert report.get_param("report-type") == "feedback-report"
    _, feedback, original = fields(report)
    assert feedback.get_content_type() == "message/feedback-report"
    assert "Original-Mail-From: <b.token@rp.demo.test>" in feedback.as_string()
    assert original.get_content_type() == "message/rfc822"
    assert fields(original)[0]["Subject"] == message_from_bytes(content)["Subject"]


def test_reports_have_crlf_alone() -> None:
    for report in (failure_report, complaint_report):
        wire = report(a_mail(b"Subject: x\r\n\r\nHello\r\n"), "x@tls.test", NOW)
        assert wire.count(b"\r\n") == wire.count(b"\n") == wire.count(b"\r")


def test_a_failure_goes_to_the_return_path_from_nobody_and_a_complaint_to_abuse() -> None:
    bounce = report_of(a_mail(b"\r\n"), "x@tls.test", Aftermath.BOUNCE, NOW)
    complaint = report_of(a_mail(b"\r\n"), "x@tls.test", Aftermath.COMPLAINT, NOW)
    assert bounce
    assert complaint
    assert (bounce.sender, bounce.recipient) == ("", "b.token@rp.demo.test")
    assert complaint.recipient == "abuse@rp.demo.test"


def test_nothing_follows_a_mail_from_nobody_or_without_a_script() -> None:
    assert report_of(a_mail(b"\r\n", ""), "x@tls.test", Aftermath.BOUNCE, NOW) is None
    assert report_of(a_mail(b"\r\n"), "x@tls.test", Aftermath.NOTHING, NOW) is None
