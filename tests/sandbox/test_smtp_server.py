import asyncio
import json
import os
import time
from pathlib import Path

import pytest
from tests.sandbox.client import client, until

from sandbox import Sandbox

TLS, PLAIN, SEVEN_BIT = "127.25.1.1", "127.25.2.1", "127.25.3.1"
MAIL = b"Subject: one\r\nMessage-ID: <1@demo.test>\r\n\r\nHello\r\n"


def flight(to: str) -> bytes:
    return f"MAIL FROM:<a@demo.test>\r\nRCPT TO:<{to}>\r\nDATA\r\n".encode()


def read(receipts: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in receipts.read_text().splitlines()]


async def test_a_pipelined_envelope_gets_its_replies_and_the_next_one_may_follow_the_dot(internet: Sandbox) -> None:
    async with client(PLAIN, internet.places.smtp_port) as peer:
        assert [reply[:3] for reply in await peer.say(flight("ok@plain.test"), 3)] == ["250", "250", "354"]
        assert [reply[:3] for reply in await peer.say(MAIL + b".\r\n" + flight("bounce@plain.test"), 4)] == ["250", "250", "550", "554"]
        assert await peer.say(b"RSET\r\nQUIT\r\n", 2) == ["250 2.0.0 OK", "221 2.0.0 Bye"]
    ((_, mail),) = internet.mailbox.newest(to="OK@plain.test")
    assert (mail.content, mail.reverse_path, mail.tls, mail.host.site) == (MAIL, "a@demo.test", False, "plain.test")


@pytest.mark.parametrize("pieces", [1, 2, 3, 7])
async def test_a_mail_in_pieces_arrives_octet_for_octet(internet: Sandbox, pieces: int) -> None:
    async with client(PLAIN, internet.places.smtp_port) as peer:
        await peer.envelope("ok@plain.test")
        wire = b"Subject: x\r\n\r\n..\r\n..dot\r\n.\r\n"
        for start in range(0, len(wire), pieces):
            peer.writer.write(wire[start : start + pieces])
            await asyncio.sleep(0.001)
        assert (await peer.reply()).startswith("250 2.0.0 OK id=")
    assert internet.mailbox.newest()[0][1].content == b"Subject: x\r\n\r\n.\r\n.dot\r\n"


async def test_an_empty_mail_ends_with_a_dot_alone(internet: Sandbox) -> None:
    async with client(PLAIN, internet.places.smtp_port) as peer:
        await peer.envelope("ok@plain.test")
        assert (await peer.say(b".\r\n"))[0].startswith("250")


@pytest.mark.parametrize("smuggled", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r"])
async def test_only_crlf_dot_crlf_ends_a_mail_and_bare_line_ends_are_refused(internet: Sandbox, smuggled: bytes) -> None:
    async with client(PLAIN, internet.places.smtp_port) as peer:
        await peer.envelope("ok@plain.test")
        (reply,) = await peer.say(b"Subject: x\r\n\r\nx" + smuggled + b"MAIL FROM:<evil@demo.test>\r\n.\r\n")
        assert reply.startswith("550 5.6.0")
        assert (await peer.say(b"NOOP\r\n"))[0].startswith("250")
    assert not internet.mailbox.newest()


async def test_a_large_attachment_takes_no_time(internet: Sandbox) -> None:
    body = b"".join(os.urandom(38).hex().encode() + b"\r\n" for _ in range(400_000))  # 31 MB, as 22 MB are in base64
    started = time.perf_counter()
    async with client(PLAIN, internet.places.smtp_port) as peer:
        await peer.envelope("ok@plain.test")
        assert (await peer.say(b"Subject: x\r\n\r\n" + body + b".\r\n"))[0].startswith("250")
    assert internet.mailbox.newest()[0][1].content.endswith(body)
    assert time.perf_counter() - started < 10


async def test_starttls_is_offered_once_and_marks_the_mail(internet: Sandbox) -> None:
    async with client(TLS, internet.places.smtp_port) as peer:
        assert await peer.say(b"STARTTLS\r\n") == ["220 2.0.0 Go ahead"]
        await peer.start_tls()
        assert (await peer.say(b"MAIL FROM:<a@demo.test>\r\n")) == ["503 5.5.1 Say EHLO first"]
        assert "STARTTLS" not in (await peer.say(b"EHLO client.test\r\n"))[0]
        await peer.say(flight("ok@tls.test"), 3)
        assert (await peer.say(MAIL + b".\r\n"))[0].startswith("250")
    assert internet.mailbox.newest()[0][1].tls


async def test_what_is_injected_before_the_handshake_is_refused(internet: Sandbox) -> None:
    async with client(TLS, internet.places.smtp_port) as peer:
        assert (await peer.say(b"STARTTLS\r\nMAIL FROM:<evil@demo.test>\r\n"))[0].startswith("503")
        assert await peer.reader.read() == b""


async def test_a_failed_handshake_closes_the_session(internet: Sandbox, receipts: Path) -> None:
    async with client(TLS, internet.places.smtp_port) as peer:
        await peer.say(b"STARTTLS\r\n")
        peer.writer.write(b"this is no handshake at all\r\n")
        await asyncio.wait_for(peer.reader.read(), 5)
    await until(lambda: read(receipts)[-1]["what"] == "close")


async def test_the_seven_bit_host_offers_and_takes_nothing_modern(internet: Sandbox) -> None:
    async with client(SEVEN_BIT, internet.places.smtp_port, hello=False) as peer:
        (hello,) = await peer.say(b"EHLO client.test\r\n")
        assert not any(word in hello for word in ("8BITMIME", "SMTPUTF8", "PIPELINING", "STARTTLS"))
        assert (await peer.say(b"MAIL FROM:<a@demo.test> BODY=8BITMIME\r\n"))[0].startswith("555")
        await peer.envelope("ok@7bit.test")
        assert (await peer.say("Subject: x\r\n\r\né\r\n.\r\n".encode()))[0].startswith("550 5.6.1")
        assert (await peer.say(flight("ok@7bit.test")))[0].startswith("503 5.5.0")


async def test_scripts_are_played_per_full_address(internet: Sandbox) -> None:
    async with client(PLAIN, internet.places.smtp_port) as peer:
        await peer.say(b"MAIL FROM:<a@demo.test>\r\n")
        for local, codes in {
            "defer-2": "451 451 250",
            "DEFER-2": "250",
            "defer-1+x": "451 250",
            "greylist": "451",
            "full": "552",
            "block": "554",
        }.items():
            for code in codes.split():
                assert (await peer.say(f"RCPT TO:<{local}@plain.test>\r\n".encode()))[0][:3] == code


async def test_a_slow_recipient_holds_only_its_own_session(internet: Sandbox) -> None:
    async with client(PLAIN, internet.places.smtp_port) as slow, client(PLAIN, internet.places.smtp_port) as quick:
        started = time.monotonic()
        waiting = asyncio.create_task(slow.say(flight("slow-1.5@plain.test"), 3))
        await asyncio.sleep(0.05)
        await quick.envelope("ok@plain.test")
        assert not waiting.done()
        assert [reply[:3] for reply in await waiting] == ["250", "250", "354"]
        assert time.monotonic() - started >= 1.5


async def test_drop_dies_in_the_middle_of_the_mail(internet: Sandbox) -> None:
    async with client(PLAIN, internet.places.smtp_port) as peer:
        await peer.envelope("drop@plain.test")
        peer.writer.write(MAIL)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await peer.reply()
    assert not internet.mailbox.newest()


async def test_nobody_listens_at_the_first_mx_of_two(internet: Sandbox) -> None:
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.25.4.1", internet.places.smtp_port)
    async with client("127.25.4.2", internet.places.smtp_port):
        pass


async def test_the_receipts_tell_connections_mails_and_refusals(internet: Sandbox, receipts: Path) -> None:
    async with client("127.25.100.1", internet.places.smtp_port) as peer, client("127.25.100.1", internet.places.smtp_port):
        await peer.say(flight("ok@d1.s0.sites.test"), 3)
        await peer.say(MAIL + b".\r\n")
        await peer.say(b"MAIL FROM:<a@demo.test>\r\nRCPT TO:<block@d1.s0.sites.test>\r\n", 2)
        lines = read(receipts)
    assert [line["what"] for line in lines] == ["start", "open", "open", "mail", "refused"]
    lines = lines[1:]
    assert {line["site"] for line in lines} == {"s0.sites.test"}
    assert (lines[2]["rcpt"], lines[2]["message_id"], lines[2]["from"]) == ("ok@d1.s0.sites.test", "<1@demo.test>", "a@demo.test")
    assert lines[3]["verdict"].startswith("554")
    assert lines[2]["session"] == lines[3]["session"] == lines[0]["session"]
    await until(lambda: sum(line["what"] == "close" for line in read(receipts)) == 2)


@pytest.mark.parametrize("line", [b"NOOP\n", b"NO\rOP\r\n", b"x" * 5000])
async def test_a_line_that_is_none_ends_the_session(internet: Sandbox, line: bytes) -> None:
    async with client(PLAIN, internet.places.smtp_port) as peer:
        assert (await peer.say(line))[0].startswith("500 5.5.2")
        assert await peer.reader.read() == b""
