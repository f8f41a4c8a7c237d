"""The peers themselves work: Postfix takes and bounces, OpenDKIM verifies by the sandbox's DNS. What our services make of it: e2e."""

import asyncio
import smtplib
from email import message_from_bytes

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.peers.opendkim import OpenDkim, dkim_results
from tests.peers.postfix import Postfix
from tests.peers.program import await_true, why_not
from tests.peers.smtp_dialogue import CONTENT, Close, SmtpPeer

from sandbox import Options, Record, Sandbox

ADDRESS = "127.25.9.1"
MAIL = b"From: a@demo.test\r\nDate: Mon, 23 Nov 2026 21:09:45 +0000\r\nTo: ok@postfix.test\r\nSubject: x\r\nMessage-ID: <1@demo.test>\r\n\r\n.Hello\r\n"

pytestmark = pytest.mark.skipif(bool(why_not("postfix")), reason=why_not("postfix"))


def send(postfix: Postfix, mail: bytes, to: str = "ok@postfix.test") -> None:
    with smtplib.SMTP(postfix.address, postfix.port) as client:
        client.sendmail("b.token@rp.demo.test", [to], mail)


def test_postfix_delivers_to_whom_it_knows() -> None:
    with Postfix.receiving("postfix.test", address=ADDRESS) as postfix:
        send(postfix, MAIL)
        await_true(lambda: len(postfix.mails()) == 1, postfix.log())
        (mail,) = postfix.mails()
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            send(postfix, MAIL, "ok@elsewhere.test")
    assert mail.endswith(MAIL.replace(b"\r\n", b"\n"))
    assert message_from_bytes(mail)["Return-Path"] == "<b.token@rp.demo.test>"
    assert not postfix.folder.exists()


async def test_postfix_bounces_to_the_return_path_for_whom_it_does_not_know() -> None:
    table = [
        ("220 in.demo.test ESMTP",),
        ("EHLO mx.postfix.test", "250 in.demo.test"),
        (r"MAIL FROM:<>.*", "250 OK"),
        (r"RCPT TO:<b\.token@rp\.demo\.test>.*", "250 OK"),
        ("DATA", "354 Go ahead"),
        (CONTENT, "250 OK"),
        ("QUIT", "221 Bye", Close()),
    ]
    async with SmtpPeer(table) as inbound:
        with Postfix.receiving("postfix.test", address=ADDRESS, bounces_to=f"{inbound.host}:{inbound.port}") as postfix:
            await asyncio.to_thread(send, postfix, MAIL, "nobody@postfix.test")
            await inbound.done(within=20)
    report = message_from_bytes(inbound.sessions[0].contents[0])
    assert (report.get_content_type(), report.get_param("report-type")) == ("multipart/report", "delivery-status")
    assert b"Status: 5.1.1" in inbound.sessions[0].contents[0]


@pytest.mark.skipif(bool(why_not("opendkim")), reason=why_not("opendkim"))
async def test_opendkim_verifies_by_the_keys_that_the_sandbox_publishes() -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = b"".join(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).splitlines()[1:-1]).decode()
    signed = dkim.sign(MAIL, b"k1", b"demo.test", pem, canonicalize=(b"relaxed", b"relaxed"), include_headers=[b"from", b"subject"]) + MAIL
    async with Sandbox(Options(sites=1)) as sandbox:
        sandbox.names.publish([Record("k1._domainkey.demo.test", "TXT", f"v=DKIM1; k=rsa; p={public}")])
        with (
            OpenDkim.verifying(dns=sandbox.places.dns) as milter,
            Postfix.receiving("postfix.test", address=ADDRESS, port=sandbox.places.smtp_port, milter=milter.address) as postfix,
        ):
            for mail in (signed, signed.replace(b"Hello", b"Hallo"), MAIL):
                await asyncio.to_thread(send, postfix, mail)
            await asyncio.to_thread(await_true, lambda: len(postfix.mails()) == 3, "three mails")
            verdicts = sorted(verdict for mail in postfix.mails() for verdict in dkim_results(mail))
    assert verdicts == ["fail", "none", "pass"]
