import asyncio
import smtplib
from collections.abc import AsyncIterator, Callable

import aiohttp
import dkim
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.sandbox.client import until
from yarl import URL

from sandbox import Sandbox

MAIL = b"""From: =?utf-8?q?J=C3=BCrgen?= <a@demo.test>\r
To: ok@plain.test\r
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe_=3Cb=3E?=\r
Content-Type: text/html; charset=utf-8\r
\r
<p>Hello <script>alert(1)</script></p>\r
"""


@pytest.fixture
async def http(internet: Sandbox) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(internet.places.inbox_url) as session:
        yield session


async def send(
    internet: Sandbox, mail: bytes, to: str = "ok@plain.test", address: str = "127.25.2.1", sender: str = "b.1@rp.demo.test"
) -> None:
    def blocking() -> None:
        with smtplib.SMTP(address, internet.places.smtp_port) as client:
            client.sendmail(sender, [to], mail)

    await asyncio.to_thread(blocking)


async def test_the_json_inbox_shows_a_mail(internet: Sandbox, http: aiohttp.ClientSession) -> None:
    await send(internet, MAIL)
    await send(internet, MAIL, to="ok2@plain.test")
    (shown,) = await (await http.get("/messages", params={"to": "OK@plain.test"})).json()
    assert (shown["from"], shown["to"], shown["subject"]) == ("Jürgen <a@demo.test>", "ok@plain.test", "Grüße <b>")
    assert (shown["tls"], shown["dkim"]) == (False, "none")
    assert (shown["envelope"]["from"], shown["envelope"]["to"]) == ("b.1@rp.demo.test", ["ok@plain.test"])
    assert await (await http.get(f"/messages/{shown['id']}/raw")).read() == MAIL
    assert len(await (await http.get("/messages")).json()) == 2
    await send(internet, MAIL, to="ok+tag@plain.test")
    for query in ("ok+tag@plain.test", "ok%2Btag@plain.test"):
        assert len(await (await http.get(URL(f"/messages?to={query}", encoded=True))).json()) == 1
    assert (await http.get("/messages/99/raw")).status == 404


async def test_pages_show_the_list_and_a_mail_and_run_none_of_its_html(internet: Sandbox, http: aiohttp.ClientSession) -> None:
    assert "Nothing yet" in await (await http.get("/")).text()
    await send(internet, MAIL)
    listed = await (await http.get("/")).text()
    assert "Grüße &lt;b&gt;" in listed
    assert "http-equiv=refresh" in listed
    page = await (await http.get("/mail/1")).text()
    assert "<script>" not in page
    assert '<iframe sandbox src="/mail/1/html">' in page
    frame = await http.get("/mail/1/html")
    assert "<p>Hello" in await frame.text()
    assert frame.headers["Content-Security-Policy"].startswith("sandbox;")


async def test_dkim_is_verified_against_published_keys(internet: Sandbox, http: aiohttp.ClientSession) -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = b"".join(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).splitlines()[1:-1]).decode()
    signed = dkim.sign(MAIL, b"k1", b"demo.test", pem, canonicalize=(b"relaxed", b"relaxed"), include_headers=[b"from", b"subject"]) + MAIL
    await send(internet, signed)
    await send(internet, signed.replace(b"Hello", b"Hallo"))

    async def verdicts() -> list[tuple[str, str]]:
        return [(mail["dkim"], mail["dkim_domain"]) for mail in await (await http.get("/messages")).json()]

    assert await verdicts() == [("fail", "demo.test")] * 2  # no key yet
    record = {"name": "k1._domainkey.demo.test", "type": "TXT", "value": f"v=DKIM1; k=rsa; p={public}"}
    assert (await http.post("/dns", json=record)).status == 204
    assert await verdicts() == [("fail", "demo.test"), ("pass", "demo.test")]


async def test_records_are_published_listed_and_withdrawn(internet: Sandbox, http: aiohttp.ClientSession) -> None:
    record = {"name": "rp.demo.test", "type": "MX", "value": "10 in.demo.test."}
    assert (await http.post("/dns", json=[record, {"name": "in.demo.test", "type": "A", "value": "127.0.0.1"}])).status == 204
    assert record in await (await http.get("/dns")).json()
    assert (await http.delete("/dns", params={"name": "rp.demo.test", "type": "MX"})).status == 204
    assert record not in await (await http.get("/dns")).json()
    assert (await http.post("/dns", json={"name": "x.test", "type": "A", "value": "no address"})).status == 400
    assert (await http.post("/dns", data=b"{")).status == 400


async def test_counters_tell_connections_per_site_and_verdicts(internet: Sandbox, http: aiohttp.ClientSession) -> None:
    await send(internet, MAIL)
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        await send(internet, MAIL, to="bounce@plain.test")
    counters = await (await http.get("/counters")).json()
    assert counters["verdicts"] == {"250": 1, "550": 1}
    site = counters["sites"]["plain.test"]
    assert (site["most"], site["opened"], site["accepted"], site["refused"]) == (1, 2, 1, 1)
    assert (await http.delete("/messages")).status == 204
    assert await (await http.get("/messages")).json() == []


class BounceServer:
    """Refuses the first mail with 451, as ours does while its broker is away."""

    def __init__(self) -> None:
        self.tries = 0
        self.taken: list[Envelope] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802 - aiosmtpd's names
        self.tries += 1
        if self.tries == 1:
            return "451 4.3.0 Try again later"
        self.taken.append(envelope)
        return "250 OK"


@pytest.mark.parametrize(
    ("local", "sender", "recipient"),
    [("asyncbounce", "", "b.1@rp.demo.test"), ("complain+x", "feedback@mx.plain.test", "abuse@rp.demo.test")],
)
async def test_a_report_comes_back_and_is_tried_again(
    internet: Sandbox, http: aiohttp.ClientSession, free_port: Callable[[], int], local: str, sender: str, recipient: str
) -> None:
    server, port = BounceServer(), free_port()
    controller = Controller(server, hostname="127.0.0.1", port=port)
    await asyncio.to_thread(controller.start)
    try:
        assert (await http.put("/bounce", json={"address": f"127.0.0.1:{port}"})).status == 204
        await send(internet, MAIL, to=f"{local}@plain.test")
        await until(lambda: internet.reporter.sent == 1)
    finally:
        await asyncio.to_thread(controller.stop)
    (envelope,) = server.taken
    assert ((envelope.mail_from or "").strip("<>"), envelope.rcpt_tos) == (sender, [recipient])
    assert server.tries == 2
