"""Requests are read in one pass, or refused with every mistake named."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.api.requests import HELP, NOW, body, json_values, nearly_valid, requests, to, valid

from scaisend_api.check_request import check_request
from scaisend_api.limits import Limits
from scaisend_api.mail_request import MailRequest
from scaisend_api.problem import BAD_REQUEST, INVALID_UTF8, Problem
from scaisend_api.reading import read_request
from scaisend_common.mail.address import Address, Mailbox
from scaisend_common.mail.suppression import bypassed
from scaisend_common.messages import Attachment, Part, encode

LIMITS = Limits()


def read(request: Any) -> MailRequest | list[Problem]:
    return read_request(body(request), NOW, LIMITS)


def accepted(request: Any) -> MailRequest:
    found = read(request)
    assert isinstance(found, MailRequest), found
    return found


def problems(request: Any) -> list[tuple[str, str | None, str | None]]:
    found = read(request)
    assert isinstance(found, list)
    return [(each.message, each.field, each.help.removeprefix(HELP) if each.help else None) for each in found]


@given(st.binary(max_size=200) | json_values.map(body))
def test_any_bytes_are_read_or_refused_and_never_raise(raw: bytes) -> None:
    found = read_request(raw, NOW, LIMITS)
    assert isinstance(found, MailRequest) or found


@settings(max_examples=300)
@given(requests | nearly_valid)
def test_both_passes_agree_on_what_is_a_mistake(request: dict[str, Any]) -> None:
    found = read(request)
    assert isinstance(found, MailRequest) == (check_request(msgspec.json.decode(body(request)), NOW, LIMITS) == [])


@settings(max_examples=300)
@given(nearly_valid)
def test_what_is_accepted_can_be_sent_on_and_its_settings_read(request: dict[str, Any]) -> None:
    found = read(request)
    if isinstance(found, MailRequest):
        for personalization in found.personalizations:
            encode(personalization)
        encode(found.content)
        bypassed(found.settings)


@given(requests)
def test_the_same_request_has_the_same_problems_in_the_same_order(request: dict[str, Any]) -> None:
    assert read(request) == read(json.loads(body(request)))


def test_a_request_is_read_as_it_says() -> None:
    request = accepted(
        valid(
            personalizations=[
                to(
                    "ann@example.com",
                    cc=[{"email": "Bob@Example.com", "name": "Bob"}],
                    bcc=[{"email": "eve@example.com"}],
                    **{"from": {"email": "other@sender.test"}},
                    subject="Own",
                    headers={"X-Own": "1"},
                    substitutions={"-name-": "Ann"},
                    custom_args={"order": "7"},
                    send_at=int(NOW) + 60,
                )
            ],
            reply_to_list=[{"email": "one@sender.test"}, {"email": "two@sender.test"}],
            attachments=[{"content": "aGk=", "filename": "a.txt", "disposition": "inline", "content_id": "cid", "type": "text/plain"}],
            headers={"X-All": "2"},
            categories=["receipts"],
            custom_args={"all": "1"},
            send_at=int(NOW) - 60,
            unheard_of=[1],
        )
    )
    personalization = request.personalizations[0]
    assert request.sender == Mailbox(Address("shop", "sender.test"), "Shop")
    assert personalization.cc == (Mailbox(Address("Bob", "example.com"), "Bob"),)
    assert personalization.sender == Mailbox(Address("other", "sender.test"))
    assert (personalization.subject, personalization.send_at) == ("Own", int(NOW) + 60)
    assert request.content.parts == (Part("text/plain", "Hi"), Part("text/html", "<p>Hi</p>"))
    assert request.content.attachments == (Attachment(b"hi", "a.txt", "text/plain", inline=True, content_id="cid"),)
    assert len(request.reply_to) == 2
    assert request.recipients == 3
    assert request.sender_domains() == {"sender.test"}
    assert not request.is_sandbox


def test_settings_travel_as_they_were_written() -> None:
    mail_settings = {"sandbox_mode": {"enable": True}, "footer": {"enable": True, "text": "é"}, "unheard_of": {"x": [1.5, None]}}
    tracking = {"click_tracking": {"enable": False, "enable_text": False}}
    request = accepted(valid(mail_settings=mail_settings, tracking_settings=tracking, sections={"-a-": "b"}))
    assert request.is_sandbox
    assert json.loads(request.settings) == {"mail_settings": mail_settings, "tracking_settings": tracking, "sections": {"-a-": "b"}}


def test_dynamic_template_data_travels_as_json() -> None:
    data = {"name": "Ann", "items": [1, {"price": 2.5}], "none": None}
    request = accepted(
        valid(template_id="d-" + "0" * 32, content=..., subject=..., personalizations=[to("a@b.co", dynamic_template_data=data)])
    )
    assert json.loads(request.personalizations[0].template_data) == data
    assert request.template_id == "d-" + "0" * 32


TO_ARRAY = "The to array is required for all personalization objects, and must have at least one email object with a valid email address."
FROM_OBJECT = (
    "The from object must be provided for every email send. It is an object that requires the email parameter, but may also contain a name "
    'parameter.  e.g. {"email" : "example@example.com"}  or {"email" : "example@example.com", "name" : "Example Recipient"}.'
)
CONTENT = (
    "Unless a valid template_id is provided, the content parameter is required. There must be at least one defined content block. We typically "
    "suggest both text/plain and text/html blocks are included, but only one block is required."
)
TWICE = "Each email address in the personalization block should be unique between to, cc, and bcc. We found the first duplicate instance of [{}] in the personalizations.{} field."
P = "message.personalizations"


@pytest.mark.parametrize(
    ("request_", "message", "field", "anchor"),
    [
        (valid(personalizations=...), "The personalizations field is required and must have at least one personalization.", "personalizations", "-Personalizations-Errors"),
        (valid(personalizations=[]), "The personalizations field is required and must have at least one personalization.", "personalizations", "-Personalizations-Errors"),
        (valid(personalizations=[{}]), TO_ARRAY, "personalizations.0.to", f"{P}.to"),
        (valid(personalizations=[to("a@b.co"), to()]), TO_ARRAY, "personalizations.1.to", f"{P}.to"),
        (valid(personalizations=[{"to": [{"name": "x"}]}]), "The to email parameter is required.", "personalizations.0.to.0.email", f"{P}.to"),
        (valid(personalizations=[to("a@b.co", "nonsense")]), "Does not contain a valid address.", "personalizations.0.to.1.email", f"{P}.to"),
        (valid(personalizations=[to("a@b.co", cc=[{"email": "x"}])]), "Does not contain a valid address.", "personalizations.0.cc.0.email", f"{P}.cc"),
        (valid(personalizations=[to("a@b.co", bcc=[{"email": "x"}])]), "Does not contain a valid address.", "personalizations.0.bcc.0.email", f"{P}.bcc"),
        (valid(personalizations=[to("a@b.co", bcc=[{"email": "A@B.co"}])]), TWICE.format("A@B.co", "0.bcc"), "personalizations.0", "message.recipient-errors"),
        (valid(personalizations=[to("x" * 320 + "@b.co")]), "The To email exceeds the maximum total length of 320 characters", "personalizations.0.to.0.email", f"{P}.to"),
        (valid(personalizations={"to": []}), "Invalid type. Expected: array, given: object.", "personalizations", P),
        (valid(personalizations=[{"to": "a@b.co"}]), "Invalid type. Expected: array, given: string.", "personalizations.0.to", f"{P}.to"),
        (valid(personalizations=[{"to": [{"email": ["a@b.co"]}]}]), "Invalid type. Expected: string, given: array.", "personalizations.0.to.0.email", f"{P}.to"),
        (valid(personalizations=[{"to": [{"email": "a@b.co", "name": None}]}]), "Invalid type. Expected: string, given: null.", "personalizations.0.to.0.name", f"{P}.to"),
        (valid(personalizations=[to("a@b.co", headers={"Bcc": "x"})]), "Header cannot be one of the reserved keys.", "personalizations.0.headers", f"{P}.headers"),
        (valid(personalizations=[to("a@b.co", headers={"X A": "x"})]), "Header keys cannot contain non-ASCII characters or empty spaces.", "personalizations.0.headers", f"{P}.headers"),
        (valid(personalizations=[to("a@b.co", send_at=int(NOW) + 72 * 3600 + 1)]), "Scheduling more than 72 hours in advance is forbidden.", "personalizations.0.send_at", f"{P}.send_at"),
        (valid(personalizations=[to("a@b.co", subject="")], subject="x"), "The subject of your email must be a string at least one character in length.", "personalizations.0.subject", f"{P}.subject"),
        (
            valid(personalizations=[to("a@b.co", custom_args={"k": "v" * 49_999})], custom_args={"x": "y"}),
            "The combined size of both global and personalization custom arguments may not exceed 50,000 bytes per personalization.",
            "personalizations.0.custom_args",
            f"{P}.custom_args",
        ),
        (valid(**{"from": ...}), FROM_OBJECT, "from.email", "message.from"),
        (valid(**{"from": {"name": "x"}}), FROM_OBJECT, "from.email", "message.from"),
        (valid(**{"from": {"email": "x"}}), "The from email does not contain a valid address.", "from.email", "message.from"),
        (valid(**{"from": "a@b.co"}), "Invalid type. Expected: object, given: string.", "from", "message.from"),
        (
            valid(subject=...),
            "The subject is required. You can get around this requirement if you use a template with a subject defined or if every personalization has a subject defined.",
            "subject",
            "message.subject",
        ),
        (valid(content=...), CONTENT, "content", "message.content"),
        (valid(content=[]), CONTENT, "content", "message.content"),
        (valid(content={}), "Invalid type. Expected: array, given: object.", "content", "message.content"),
        (valid(content=[{"type": "text/plain", "value": ""}]), "The content value must be a string at least one character in length.", "content.0.value", "message.content.value"),
        (valid(content=[{"value": "x"}]), "The content type must be a string at least one character in length.", "content.0.type", "message.content.type"),
        (valid(content=[{"type": "text/html; charset=utf-8", "value": "x"}]), "Cannot contain ';', or CRLF characters.", "content.0.type", "message.content.type"),
        (
            valid(content=[{"type": "text/html", "value": "x"}, {"type": "text/plain", "value": "x"}]),
            "Following RFC 1341, section 7.2, if either text/html or text/plain are to be sent in your email: text/plain needs to be first, followed by text/html, followed by any other content.",
            "content.1.value",
            "message.content.value",
        ),
        (valid(template_id="nonsense"), "The template_id must be a valid GUID, you provided 'nonsense'.", "template_id", "message.template_id"),
        (valid(attachments=[{"filename": "x"}]), "The attachment content is required.", "attachments.0.content", "message.attachments.content"),
        (valid(attachments=[{"filename": "x", "content": "aGk\n="}]), "The attachment content must be base64 encoded.", "attachments.0.content", "message.attachments.content"),
        (valid(attachments=[{"filename": "x", "content": "aaaa="}]), "The attachment content must be base64 encoded.", "attachments.0.content", "message.attachments.content"),
        (
            valid(attachments=[{"filename": "x", "content": "aGk=", "disposition": "Inline"}]),
            "The disposition of your attachment can be either 'inline' or 'attachment'.",
            "attachments.0.disposition",
            "message.attachments.disposition",
        ),
        (valid(attachments=[{"content": "aGk="}]), "filename is required.", "attachments.0.filename", "message.attachments.filename"),
        (valid(attachments=[{"content": "aGk=", "filename": "a\r\nb"}]), "The filename of your attachment cannot contain CRLF characters.", "attachments.0.filename", "message.attachments.filename"),
        (valid(headers={"Subject": "x"}), "Header can not be one of the reserved keys.", "headers", "message.headers"),
        (valid(headers={"X-Ä": "x"}), "Header keys cannot contain non-ASCII characters and empty spaces.", "headers", "message.headers"),
        (valid(headers={"X:A": "x"}), "Header keys cannot contain non-ASCII characters and empty spaces.", "headers", "message.headers"),
        (valid(categories="x"), "Categories must be an array of strings.", "categories", "message.categories"),
        (valid(categories=[str(n) for n in range(11)]), "There is a limit of 10 categories for each email that is sent. You provided 11 categories.", "categories", "message.categories"),
        (valid(categories=["a", "a"]), "The categories must be a unique list, and you have included a more than once. ", "categories", "message.categories"),
        (valid(categories=["ä"]), "Categories can not contain non-ASCII characters.", "categories", "message.categories"),
        (valid(send_at="soon"), "The `send_at` parameter is expecting a Unix timestamp as an integer. We will send immediately if you include a `send_at` timestamp that is in the past.", "send_at", "message.send_at"),
        (valid(send_at=True), "The `send_at` parameter is expecting a Unix timestamp as an integer. We will send immediately if you include a `send_at` timestamp that is in the past.", "send_at", "message.send_at"),
        (valid(send_at=10**30), "Scheduling more than 72 hours in advance is forbidden.", "send_at", "message.send_at"),
        (valid(batch_id="unknown"), "invalid batch id", "batch_id", "message.batch_id"),
        (valid(batch_id=7), "The batch_id must be a string.", "batch_id", "message.batch_id"),
        (valid(asm={"group_id": 42}), "The ASM group ID must be a valid Group ID on your account. You provided 42.", "asm.group_id", "message.asm.group_id"),
        (valid(asm={"group_id": "42"}), "The ASM group ID must be an integer.", "asm.group_id", "message.asm.group_id"),
        (valid(ip_pool_name="marketing"), "The IP Pool name must be a valid pool name for your account. You provided marketing.", "ip_pool_name", "message.ip_pool_name"),
        (valid(mail_settings={"sandbox_mode": {"enable": "yes"}}), "The sandbox mode enable param should be a boolean value.", "mail_settings.sandbox_mode.enable", "message.mail_settings.sandbox_mode.enable"),
        (valid(tracking_settings={"click_tracking": {"enable_text": 1}}), "The click tracking enable text must be a boolean value.", "tracking_settings.click_tracking.enable_text", "message.tracking_settings.click_tracking.enable_text"),
    ],
)  # fmt: skip
def test_a_broken_rule_is_told_in_sendgrids_words(request_: Any, message: str, field: str, anchor: str) -> None:
    assert problems(request_) == [(message, field, anchor)]


def test_too_many_personalizations_are_one_problem() -> None:
    (problem,) = problems(valid(personalizations=[to(f"a{n}@b.co") for n in range(1001)]))
    assert problem[0].startswith("The personalization block is limited to 1000 personalizations per API request. You have provided 1001 ")


def test_recipients_are_counted_over_the_whole_request() -> None:
    (problem,) = problems(valid(personalizations=[to(*(f"a{n}@b.co" for n in range(500))), to(*(f"a{n}@b.co" for n in range(501)))]))
    assert problem == ("There is a limit of 1000 total recipients (to + cc + bcc) per request.", "personalizations", P)
    assert accepted(valid(personalizations=[to(*(f"a{n}@b.co" for n in range(500)))] * 2)).recipients == 1000


def test_one_address_may_be_in_two_personalizations() -> None:
    assert accepted(valid(personalizations=[to("a@b.co"), to("a@b.co")])).recipients == 2


def test_a_wrong_template_id_and_missing_content_are_told_together() -> None:
    assert [field for _, field, _ in problems(valid(template_id="x", content=...))] == ["template_id", "content"]


def test_substitutions_with_a_dynamic_template_are_told_for_each_personalization() -> None:
    found = problems(valid(template_id="d-" + "0" * 32, personalizations=[to("a@b.co", substitutions={"a": "b"})] * 2))
    assert found == [
        ("Substitutions may not be used with dynamic templating", f"personalizations.{n}.substitutions", f"{P}.substitutions")
        for n in (0, 1)
    ]


def test_all_mistakes_of_a_request_are_told_at_once() -> None:
    found = problems({"personalizations": [{"to": [{"email": "x"}]}], "from": {"email": "y"}, "attachments": [{"content": "*"}]})
    assert [field for _, field, _ in found] == [
        "personalizations.0.to.0.email",
        "from.email",
        "subject",
        "content",
        "attachments.0.content",
        "attachments.0.filename",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"custom_args": {"n": 1}},
        {"headers": {"X-A": 1}},
        {"sections": {"a": None}},
        {"attachments": {}},
        {"attachments": ["x"]},
        {"personalizations": [to("a@b.co", substitutions={"a": 1})]},
        {"personalizations": [to("a@b.co", custom_args={"a": []})]},
    ],
)
def test_types_that_sendgrid_does_not_locate_are_a_bare_bad_request(changes: dict[str, Any]) -> None:
    assert read(valid(**changes, subject=...)) == [BAD_REQUEST]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"[" * 100_000,
        b'{"personalizations":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        body(valid())[:-1] + b',"unheard_of":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        body(valid())[:-1] + b',"send_at":' + b"1" * 1_000_000 + b"}",
        body(valid())[:-1] + b',"send_at":1e999}',
        body(valid())[:-1] + b',"subject":"\\ud800"}',
        body(valid())[:-1] + b',"subject":"again"}',
        body(valid(custom_args={"a": "1"})).replace(b'{"a": "1"}', b'{"a": "1", "a": "2"}'),
        body(valid()) + b"{}",
        b"\xef\xbb\xbf" + body(valid()),
        body(valid()).decode().encode("utf-16"),
    ],
    ids=range(16),
)
def test_json_that_cannot_be_read_is_a_bad_request(raw: bytes) -> None:
    assert read_request(raw, NOW, LIMITS) == [BAD_REQUEST] or read_request(raw, NOW, LIMITS) == [INVALID_UTF8]


def test_a_huge_number_that_nobody_reads_is_no_mistake() -> None:
    raw = body(valid())[:-1] + b',"unheard_of":' + b"1" * 1_000_000 + b"}"
    assert isinstance(read_request(raw, NOW, LIMITS), MailRequest)


def test_invalid_utf8_is_told() -> None:
    assert read_request(body(valid(subject="X")).replace(b'"X"', b'"\xff"'), NOW, LIMITS) == [INVALID_UTF8]


def test_problems_are_bounded_in_number_and_length() -> None:
    assert len(problems(valid(content=[{}] * 5000))) == 1000
    assert len(problems(valid(template_id="x" * 1_000_000))[0][0]) < 1100


@given(
    st.sampled_from(["\r\n", "\n", "\r", "\u2028", "\x85", "=?utf-8?q?=0d=0aX:y?=", "%0d%0a", "\x00"]),
    st.sampled_from(["a{}b@c.co", "a@c{}.co", "{}a@c.co"]),
)
def test_no_address_carries_a_line_end_or_a_second_header(junk: str, email: str) -> None:
    found = read(valid(personalizations=[to(email.format(junk))]))
    if isinstance(found, MailRequest):
        assert str(found.personalizations[0].to[0].address).isprintable()
