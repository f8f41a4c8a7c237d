"""Other people's programs on the other side: a real Postfix takes our mail, OpenDKIM judges it, and Postfix's own bounce comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from email import message_from_bytes, policy
from uuid import uuid4

import pytest
from sendgrid.helpers.mail import Attachment, Disposition, FileContent, FileName, FileType, Mail
from tests.e2e.conftest import Town
from tests.e2e.endpoint import listening
from tests.e2e.fleet import eventually
from tests.peers.opendkim import OpenDkim, dkim_results
from tests.peers.postfix import Postfix
from tests.peers.program import why_not

from sandbox.zones import POSTFIX_ADDRESS

WHY_NOT = why_not("postfix") or why_not("opendkim")
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("here"), pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]


@pytest.fixture(scope="module")
def postfix(here: Town) -> Iterator[Postfix]:
    """The MX of postfix.test: OpenDKIM is its milter, what it cannot deliver it sends back to bounce-inbound."""
    port = int(here.fleet.settings["SCAISEND_REMOTE_SMTP_PORT"])
    bounces_to = f"127.0.0.1:{here.fleet.inbound_port}"
    with (
        OpenDkim.verifying(dns=here.fleet.settings["SCAISEND_DNS"]) as milter,
        Postfix.receiving("postfix.test", address=POSTFIX_ADDRESS, port=port, bounces_to=bounces_to, milter=milter.address) as postfix,
    ):
        yield postfix


async def taken(postfix: Postfix, to: str) -> bytes:
    """The mail that Postfix delivered to an address."""
    return await eventually(
        lambda: next((mail for mail in postfix.mails() if to.encode() in mail), None),
        within=20,
        why=f"{to} has mail; {postfix.log()[-2000:]}",
    )


def address(local: str) -> str:
    return f"{local}+{uuid4().hex[:10]}@postfix.test"


async def test_postfix_takes_our_mail_and_opendkim_finds_its_signature_good(here: Town, postfix: Postfix) -> None:
    to = address("ok")
    mail = Mail(here.sender, to, "Café ☕", "Grüße\n.\n..\nund " + "lang " * 400, "<p>Grüße</p>")
    mail.attachment = Attachment(
        FileContent("4pWQ4pWQ"), FileName("Straße.bin"), FileType("application/octet-stream"), Disposition("attachment")
    )
    answer = await asyncio.to_thread(here.client.send, mail)
    content = await taken(postfix, to)
    assert dkim_results(content) == ["pass"]
    parsed = message_from_bytes(content, policy=policy.default)
    assert parsed["Subject"] == "Café ☕"
    assert parsed.get_body(("plain",)).get_content().rstrip("\n") == "Grüße\n.\n..\nund " + "lang " * 400
    assert [part.get_filename() for part in parsed.iter_attachments()] == ["Straße.bin"]
    delivery = await here.settled(answer.headers["X-Message-Id"], "delivered")
    assert "queued as" in str(delivery["events"])


async def test_postfixs_own_bounce_comes_back_as_an_event_and_a_suppression(here: Town, postfix: Postfix) -> None:
    to = address("nobody")
    async with listening(here) as endpoint:
        message_id = here.send(to, custom_args={"order": "5"})
        bounce = await endpoint.hears("bounce", to)
        assert (bounce["type"], bounce["status"], bounce["order"]) == ("bounce", "5.1.1", "5")
        assert (await endpoint.hears("delivered", to))["sg_message_id"] == bounce["sg_message_id"]
    delivery = await here.settled(message_id, "bounced")
    assert [event["event_name"] for event in delivery["events"]] == ["processed", "delivered", "bounced"]
    dropped = await here.settled(here.send(to), "dropped")
    assert not dropped["attempts"]
