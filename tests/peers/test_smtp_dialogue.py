import asyncio

import pytest
from tests.peers.smtp_dialogue import CONTENT, HANG_UP, Close, Delay, Drip, Octets, Raw, Reset, SmtpPeer, Surprise, Table, Wait

TABLE: Table = [
    ("220 mx.test ESMTP",),
    (r"EHLO .*", "250-mx.test", "250 PIPELINING"),
    (r"MAIL FROM:<.*>", "250 OK"),
    (r"RCPT TO:<.*>", "250 OK"),
    ("DATA", "354 Go ahead"),
    (CONTENT, Drip("250 OK", 0.001)),
    ("QUIT", "221 Bye", Close()),
]


async def talk(peer: SmtpPeer, *flights: bytes) -> bytes:
    """Say everything at once, hear everything until the end."""
    reader, writer = await asyncio.open_connection(peer.host, peer.port)
    for flight in flights:
        writer.write(flight)
    try:
        return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize("content", [b".\r\n", b"Subject: x\r\n\r\n..\r\n.\r\n"])
async def test_a_table_is_played_and_every_octet_is_kept(content: bytes) -> None:
    said = b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n" + content + b"QUIT\r\n"
    async with SmtpPeer(TABLE) as peer:
        heard = await talk(peer, said)
        await peer.done()
    (session,) = peer.sessions
    assert heard.split(b"\r\n")[-3:] == [b"250 OK", b"221 Bye", b""]
    assert session.received == said
    assert session.contents == [content]
    assert session.lines == ["EHLO a", "MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA", "QUIT"]


async def test_an_unexpected_line_is_a_surprise() -> None:
    async with SmtpPeer(TABLE) as peer:
        await talk(peer, b"HELO a\r\n")
        with pytest.raises(Surprise, match="HELO a"):
            await peer.done()


async def test_each_connection_plays_its_table_and_the_last_one_again() -> None:
    async with SmtpPeer([("421 Busy",)], [("220 Welcome",), (HANG_UP,)]) as peer:
        assert await talk(peer) == b"421 Busy\r\n"
        for _ in range(2):
            reader, writer = await asyncio.open_connection(peer.host, peer.port)
            assert await reader.readline() == b"220 Welcome\r\n"
            writer.close()
            await writer.wait_closed()
        await peer.done(sessions=3)


async def test_a_reset_is_one_and_may_come_in_the_middle_of_a_mail() -> None:
    async with SmtpPeer([("354 Go ahead",), (Octets(3), Reset())]) as peer:
        with pytest.raises(ConnectionResetError):
            await talk(peer, b"abc")
        await peer.done()


async def test_silence_lasts_until_the_test_says_go() -> None:
    async with SmtpPeer([(Delay(0.05), Wait(), Raw(b"2"), Raw(b"20 x\n"), Close())]) as peer:
        talking = asyncio.create_task(talk(peer))
        await asyncio.sleep(0.1)
        assert not talking.done()
        peer.go.set()
        assert await talking == b"220 x\n"
