"""From HTTP to the recipient's MX and back to the timeline, over the real processes."""

from __future__ import annotations

import re
from base64 import b64encode
from email import message_from_bytes, policy
from random import Random
from time import time
from uuid import uuid4

import pytest
from sendgrid.helpers.mail import Attachment, Bcc, Cc, Disposition, FileContent, FileName, FileType, Mail, To
from tests.e2e.conftest import SENDER, Town
from tests.e2e.fleet import call, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("here")]


def address(local: str = "ok", domain: str = "tls.test") -> str:
    return f"{local}+{uuid4().hex[:10]}@{domain}"


async def test_a_mail_sent_with_the_official_package_arrives_signed_over_tls_and_its_timeline_says_so(here: Town) -> None:
    to = address()
    answer = here.client.send(Mail(SENDER, to, "Café ☕", "Hello text", "<p>Hello html</p>"))
    assert answer.status_code == 202
    assert answer.body == b""
    message_id = answer.headers["X-Message-Id"]
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", message_id)
    (mail,) = await here.arrived(to)
    assert mail["tls"] is True
    assert mail["dkim"] == "pass"
    assert mail["subject"] == "Café ☕"
    parsed = message_from_bytes(here.raw(mail), policy=policy.default)
    assert parsed.get_body(("plain",)).get_content().strip() == "Hello text"
    assert parsed.get_body(("html",)).get_content().strip() == "<p>Hello html</p>"
    delivery = await here.settled(message_id, "delivered")
    assert [event["event_name"] for event in delivery["events"]] == ["processed", "delivered"]
    assert delivery["to_email"] == to
    assert len(delivery["attempts"]) == 1
    assert here.timeline(message_id)["status"] == "delivered"
    status, _, body = call("GET", f"{here.fleet.api_url}/v3/messages/{delivery['msg_id']}", key=here.api_key)
    assert status == 200
    assert to.encode() in body


async def test_the_timeline_is_readable_within_a_second_of_the_202(here: Town) -> None:
    message_id = here.send(address())
    begun = time()
    assert here.timeline(message_id).get("message_id") == message_id
    assert time() - begun < 1.5


@pytest.mark.parametrize(
    ("domain", "state"),
    [
        ("tls.test", "delivered"),
        ("plain.test", "delivered"),
        ("7bit.test", "delivered"),
        ("two-mx.test", "delivered"),
        ("implicit.test", "delivered"),
        ("nullmx.test", "bounced"),
        ("no-such-domain.test", "bounced"),
        ("servfail.test", "deferred"),
    ],
)
async def test_every_zone_gives_the_verdict_that_it_should(here: Town, domain: str, state: str) -> None:
    to = address(domain=domain)
    delivery = await here.settled(
        here.send(to, subject="Grüße", content=[{"type": "text/plain", "value": "Grüße aus Köln"}]), state, within=40
    )
    if state == "delivered":
        (mail,) = await here.arrived(to)
        assert mail["dkim"] == "pass"
        assert "Grüße aus Köln" in message_from_bytes(here.raw(mail), policy=policy.default).get_content()
    else:
        assert not here.inbox(to)
        assert delivery["events"][-1]["event_name"] in {"bounce", "bounced", "deferred"}


@pytest.mark.parametrize(
    ("script", "state", "status"),
    [
        ("bounce", "bounced", "5.1.1"),
        ("full", "bounced", "5.2.2"),
        ("block", "bounced", "5.7.1"),
        ("slow-1", "delivered", ""),
        ("ok", "delivered", ""),
    ],
)
async def test_every_script_gives_the_verdict_that_it_should(here: Town, script: str, state: str, status: str) -> None:
    delivery = await here.settled(here.send(address(script, "plain.test")), state)
    assert status in str(delivery)


@pytest.mark.parametrize(("script", "attempts"), [("defer-2", 3), ("greylist", 2)])
async def test_a_deferred_mail_is_tried_again_with_the_same_message_id_and_delivered(here: Town, script: str, attempts: int) -> None:
    to = address(script, "plain.test")
    message_id = here.send(to)
    delivery = await here.settled(message_id, "delivered", within=60)
    assert len(delivery["attempts"]) >= attempts
    assert len(here.inbox(to)) == 1


async def test_a_connection_lost_with_the_final_dot_under_way_is_in_doubt_three_times_at_most(here: Town) -> None:
    to = address("drop", "plain.test")
    delivery = await here.settled(here.send(to), "bounced", within=30)
    assert [attempt["verdict"] for attempt in delivery["attempts"] if attempt["verdict"] == "unknown"] == ["unknown"] * 3
    assert not here.inbox(to)


async def test_a_future_send_at_waits_for_its_time(here: Town) -> None:
    to = address()
    due = int(time()) + 6
    message_id = here.send(to, send_at=due)
    (mail,) = await here.arrived(to, within=25)
    delivery = await here.settled(message_id, "delivered")
    assert time() >= due
    assert delivery["attempts"]
    assert mail["to"]


async def test_an_attachment_of_22_000_000_bytes_arrives_bit_for_bit(here: Town) -> None:
    to = address()
    content = Random(1).randbytes(22_000_000)
    mail = Mail(SENDER, to, "Big", "See the file.")
    mail.attachment = Attachment(
        FileContent(b64encode(content).decode()), FileName("data.bin"), FileType("application/octet-stream"), Disposition("attachment")
    )
    assert here.client.send(mail).status_code == 202
    (found,) = await here.arrived(to, within=60)
    (attachment,) = message_from_bytes(here.raw(found), policy=policy.default).iter_attachments()
    assert attachment.get_content() == content
    assert attachment.get_filename() == "data.bin"
    assert found["dkim"] == "pass"


async def test_to_and_cc_see_each_other_and_bcc_is_seen_by_nobody(here: Town) -> None:
    to, cc, bcc = (address() for _ in range(3))
    mail = Mail(SENDER, To(to, "Tom"), "Who sees whom", "Hello")
    mail.add_cc(Cc(cc, "Cecilia"))
    mail.add_bcc(Bcc(bcc))
    assert here.client.send(mail).status_code == 202
    ids = set()
    for recipient in (to, cc, bcc):
        (found,) = await here.arrived(recipient)
        raw = here.raw(found)
        parsed = message_from_bytes(raw, policy=policy.default)
        assert to in parsed["To"]
        assert cc in parsed["Cc"]
        assert bcc.encode() not in raw
        ids.add(parsed["Message-ID"])
    assert len(ids) == 3


async def test_personalizations_have_their_own_headers_and_substitutions(here: Town) -> None:
    first, second = address(), address()
    body = {
        "personalizations": [
            {"to": [{"email": first}], "substitutions": {"-name-": "Ann"}, "subject": "Hi -name-"},
            {"to": [{"email": second}], "substitutions": {"-name-": "Bob"}, "headers": {"X-Who": "second"}},
        ],
        "from": {"email": SENDER},
        "subject": "Hello -name-",
        "content": [{"type": "text/plain", "value": "Dear -name-"}],
        "headers": {"X-Shop": "yes"},
        "reply_to": {"email": "help@sender.test"},
    }
    assert call("POST", f"{here.fleet.api_url}/v3/mail/send", body, here.api_key)[0] == 202
    one = message_from_bytes(here.raw((await here.arrived(first))[0]), policy=policy.default)
    two = message_from_bytes(here.raw((await here.arrived(second))[0]), policy=policy.default)
    assert (one["Subject"], one.get_content().strip(), one["X-Shop"], one["Reply-To"]) == ("Hi Ann", "Dear Ann", "yes", "help@sender.test")
    assert (two["Subject"], two.get_content().strip(), two["X-Who"]) == ("Hello Bob", "Dear Bob", "second")
    assert second not in str(one)


async def test_a_thousand_personalizations_of_one_request_all_arrive(here: Town) -> None:
    tag = uuid4().hex[:10]
    people = [f"ok+{tag}.{n}@d{n % 5}.s{n % 3}.sites.test" for n in range(1000)]
    body = {
        "personalizations": [{"to": [{"email": person}]} for person in people],
        "from": {"email": SENDER},
        "subject": "News",
        "content": [{"type": "text/plain", "value": "News for all"}],
    }
    assert call("POST", f"{here.fleet.api_url}/v3/mail/send", body, here.api_key)[0] == 202

    def all_there() -> bool:
        return len({entry["rcpt"] for entry in here.receipts_of() if tag in entry["rcpt"]}) == 1000

    await eventually(all_there, within=40, why="a thousand recipients")
    assert len([entry for entry in here.receipts_of() if tag in entry["rcpt"]]) == 1000


async def test_an_unverified_sender_is_refused(here: Town) -> None:
    status, _, body = call(
        "POST",
        f"{here.fleet.api_url}/v3/mail/send",
        {
            "personalizations": [{"to": [{"email": "ok@tls.test"}]}],
            "from": {"email": "a@elsewhere.test"},
            "subject": "x",
            "content": [{"type": "text/plain", "value": "x"}],
        },
        here.api_key,
    )
    assert status == 403
    assert len(body) == 281


async def test_health_readiness_and_metrics_are_served_by_every_process(here: Town) -> None:
    for process in here.fleet.processes:
        assert call("GET", f"{process.health_url}/health")[0] == 200
        assert call("GET", f"{process.health_url}/ready")[0] == 200
        status, _, metrics = call("GET", f"{process.health_url}/metrics")
        assert status == 200
        assert b"scaisend_" in metrics
        assert b"sender.test" not in metrics
