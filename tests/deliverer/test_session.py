"""Transactions, as tables of what is said and answered."""

from __future__ import annotations

import asyncio
import socket

import pytest
from tests.deliverer.smtp import DATA, EHLO, GREETING, MAIL, QUIT, RCPT, SLOW_EHLO, TIMERS, WIRE, hand_over, opened
from tests.peers.smtp_dialogue import CONTENT, HANG_UP, Close, Delay, Drip, Octets, Raw, Reset, SmtpPeer, Wait

from scaisend_common.mail.reply import Reply
from scaisend_common.mail.verdict import Bounced, Deferred, Delivered, Unknown
from scaisend_deliverer.envelope import Envelope
from scaisend_deliverer.permit import Go, Permit, Stopped
from scaisend_deliverer.transaction import Halted, Recalled, Stale

TAKEN = (CONTENT, "250 2.0.0 queued as 4711")
LETTER = (MAIL, RCPT, DATA, TAKEN)


async def test_a_mail_is_handed_over_in_two_flights() -> None:
    async with SmtpPeer([GREETING, EHLO, *LETTER, QUIT]) as peer:
        session = await opened(peer)
        assert await hand_over(session) == Delivered(Reply(250, "2.0.0", "queued as 4711"))
        await session.leave()
        await peer.done()
    commands = [flight for flight in peer.sessions[0].flights if flight.startswith((b"MAIL", b"Subject"))]
    assert commands == [
        b"MAIL FROM:<b.token@bounces.sender.test> SIZE=%d\r\nRCPT TO:<ok@plain.test>\r\nDATA\r\n" % len(WIRE),
        WIRE + b".\r\n",
    ]


async def test_a_server_without_pipelining_is_asked_one_thing_at_a_time() -> None:
    async with SmtpPeer([GREETING, SLOW_EHLO, *LETTER, *LETTER, QUIT]) as peer:
        session = await opened(peer)
        assert isinstance(await hand_over(session), Delivered)
        assert isinstance(await hand_over(session), Delivered)
        await session.leave()
        await peer.done()
    assert b"DATA\r\n" in peer.sessions[0].flights


async def test_the_next_mail_goes_over_the_same_connection() -> None:
    async with SmtpPeer([GREETING, EHLO, *LETTER, *LETTER]) as peer:
        session = await opened(peer)
        assert isinstance(await hand_over(session), Delivered)
        assert session.is_usable
        assert isinstance(await hand_over(session), Delivered)
        await peer.done()


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("550 5.1.1 No such user", Bounced),
        ("552 5.2.2 Full", Bounced),
        ("450 4.2.0 Greylisted", Deferred),
        ("452 4.5.3 Too many recipients", Deferred),
        ("299 odd but good", Delivered),
        ("399 odd", Deferred),
    ],
)
async def test_the_reply_to_rcpt_decides(reply: str, verdict: type) -> None:
    rest = [DATA, TAKEN] if verdict is Delivered else [("DATA", "503 5.5.1 No recipients")]
    async with SmtpPeer([GREETING, EHLO, MAIL, (RCPT[0], reply), *rest, ("RSET", "250 OK"), *LETTER]) as peer:
        session = await opened(peer)
        assert isinstance(await hand_over(session), verdict)
        if verdict is not Delivered:  # the session is good for another mail, after RSET in the same flight
            assert isinstance(await hand_over(session), Delivered)
            await peer.done()


async def test_354_after_a_refused_recipient_gets_a_lone_dot() -> None:
    refused = (RCPT[0], "550 5.1.1 Unknown")
    async with SmtpPeer([GREETING, EHLO, MAIL, refused, DATA, (r"\.", "554 No valid recipients"), ("RSET", "250 OK"), *LETTER]) as peer:
        session = await opened(peer)
        assert isinstance(await hand_over(session), Bounced)
        assert isinstance(await hand_over(session), Delivered)
        await peer.done()
    assert len(peer.sessions[0].contents) == 1


async def test_no_mail_is_sent_without_354() -> None:
    async with SmtpPeer([GREETING, EHLO, MAIL, RCPT, ("DATA", "250 Wrong"), (HANG_UP,)]) as peer:
        session = await opened(peer)
        assert isinstance(await hand_over(session), Deferred)
        assert not session.is_usable
        await peer.done()


async def test_a_refused_sender_is_not_the_recipients_fault() -> None:
    refused = (MAIL[0], "550 5.7.1 Blocked")
    async with SmtpPeer([GREETING, EHLO, refused, (RCPT[0], "503 Bad sequence"), ("DATA", "503 Bad sequence"), (HANG_UP,)]) as peer:
        session = await opened(peer)
        verdict = await hand_over(session)
        assert isinstance(verdict, Bounced)
        assert verdict.reply == Reply(550, "5.7.1", "Blocked")


async def test_421_at_the_banner_of_the_next_mail_costs_that_mail_nothing() -> None:
    """F44, F47: the server has had enough; the mail that meets it first was not tried."""
    async with SmtpPeer([GREETING, EHLO, *LETTER, (MAIL[0], "421 4.7.0 Too many mails, goodbye", Close())]) as peer:
        session = await opened(peer)
        assert isinstance(await hand_over(session), Delivered)
        assert isinstance(await hand_over(session), Stale)
        assert not session.is_usable


async def test_421_on_a_new_connection_defers() -> None:
    async with SmtpPeer([GREETING, EHLO, (MAIL[0], "421 4.3.2 Shutting down", Close())]) as peer:
        session = await opened(peer)
        verdict = await hand_over(session)
        assert verdict == Deferred("421 4.3.2 Shutting down", Reply(421, "4.3.2", "Shutting down"))
        assert not session.is_usable


async def test_421_after_the_dot_defers_and_ends_the_session() -> None:
    async with SmtpPeer([GREETING, EHLO, MAIL, RCPT, DATA, (CONTENT, "421 4.3.2 Shutting down"), (HANG_UP,)]) as peer:
        session = await opened(peer)
        assert isinstance(await hand_over(session), Deferred)
        assert not session.is_usable


async def test_a_connection_that_died_in_the_pool_costs_no_attempt() -> None:
    async with SmtpPeer([GREETING, EHLO, *LETTER, (r"MAIL.*", Reset())]) as peer:
        session = await opened(peer)
        assert isinstance(await hand_over(session), Delivered)
        assert isinstance(await hand_over(session), Stale)


async def test_a_connection_closed_while_idle_is_not_usable() -> None:
    async with SmtpPeer([GREETING, EHLO, MAIL, RCPT, DATA, (CONTENT, "250 OK", Delay(0.1), "421 Idle for too long", Close())]) as peer:
        session = await opened(peer)
        assert isinstance(await hand_over(session), Delivered)
        await peer.done()
        async with asyncio.timeout(2):
            while session.is_usable:  # noqa: ASYNC110 - the FIN comes when it comes
                await asyncio.sleep(0.005)


async def test_loss_before_the_dot_is_a_deferral() -> None:
    async with SmtpPeer([GREETING, EHLO, MAIL, RCPT, ("DATA", Reset())]) as peer:
        assert isinstance(await hand_over(await opened(peer)), Deferred)


@pytest.mark.parametrize("end", [Close(), Reset()])
async def test_loss_after_the_dot_is_doubt(end: Close | Reset) -> None:
    async with SmtpPeer([GREETING, EHLO, MAIL, RCPT, DATA, (CONTENT, end)]) as peer:
        assert isinstance(await hand_over(await opened(peer)), Unknown)


async def test_nonsense_after_the_dot_is_doubt() -> None:
    async with SmtpPeer([GREETING, EHLO, MAIL, RCPT, DATA, (CONTENT, "2500 fine")]) as peer:
        assert isinstance(await hand_over(await opened(peer)), Unknown)


async def test_no_reply_after_the_dot_is_doubt_and_a_late_one_is_delivery() -> None:
    patient = TIMERS
    async with SmtpPeer([GREETING, EHLO, MAIL, RCPT, DATA, (CONTENT, Delay(0.5), "250 late")]) as peer:
        assert isinstance(await hand_over(await opened(peer, patient)), Delivered)
    async with SmtpPeer([GREETING, EHLO, MAIL, RCPT, DATA, (CONTENT, Delay(5))]) as peer:
        assert isinstance(await hand_over(await opened(peer, patient)), Unknown)


async def test_the_wait_after_the_dot_is_not_cut_by_the_deadline_before_it() -> None:
    async with SmtpPeer([GREETING, EHLO, MAIL, RCPT, DATA, (CONTENT, Delay(1), "250 late")]) as peer:
        session = await opened(peer)
        assert isinstance(await hand_over(session, seconds=0.7), Delivered)


async def test_replies_that_drip_do_not_reset_the_timer() -> None:
    async with SmtpPeer([GREETING, EHLO, (MAIL[0], Drip("250 a very long story", pause=0.3))]) as peer:
        session = await opened(peer)
        began = asyncio.get_running_loop().time()
        assert isinstance(await hand_over(session), Deferred)
        assert asyncio.get_running_loop().time() - began < 3


@pytest.mark.parametrize("flood", [b"250-more\r\n" * 100_000, b"250 " + b"x" * 10_000_000])
async def test_a_flood_of_reply_ends_the_session(flood: bytes) -> None:
    async with SmtpPeer([GREETING, EHLO, (MAIL[0], Raw(flood))]) as peer:
        session = await opened(peer)
        assert isinstance(await hand_over(session), Deferred)
        assert not session.is_usable


async def test_lone_line_feeds_and_strange_octets_are_understood() -> None:
    async with SmtpPeer(
        [GREETING, EHLO, (MAIL[0], Raw(b"250\n")), RCPT, DATA, (CONTENT, Raw(b"250-2.0.0 gr\xfc\xdfe\n250 2.0.0 ok\n"))]
    ) as peer:
        verdict = await hand_over(await opened(peer))
        assert isinstance(verdict, Delivered)
        assert verdict.reply.text == "grüße ok"


async def test_dots_are_doubled_and_the_end_is_one_dot() -> None:
    wire = b".first\r\n..two\r\n\r\n.\r\nlast without line end"
    async with SmtpPeer([GREETING, EHLO, *LETTER]) as peer:
        assert isinstance(await hand_over(await opened(peer), wire=wire), Delivered)
        await peer.done()
    assert peer.sessions[0].contents[0] == b"..first\r\n...two\r\n\r\n..\r\nlast without line end\r\n.\r\n"


async def test_only_what_was_offered_is_used() -> None:
    envelope = Envelope("b@x.test", "jörg@plain.test", needs_8bit_mime=True, needs_smtp_utf8=True)
    full = (EHLO[0], "250-hi", "250-SMTPUTF8", "250-8BITMIME", "250 PIPELINING")
    async with SmtpPeer(
        [GREETING, full, ("MAIL FROM:<b@x.test> BODY=8BITMIME SMTPUTF8", "250 OK"), ("RCPT TO:<jörg@plain.test>", "250 OK"), DATA, TAKEN]
    ) as peer:
        assert isinstance(await hand_over(await opened(peer), envelope=envelope), Delivered)
        await peer.done()
    async with SmtpPeer([GREETING, (EHLO[0], "250 hi"), ("MAIL FROM:<b@x.test>", "250 OK"), (r"RCPT.*", "250 OK"), DATA, TAKEN]) as peer:
        assert isinstance(await hand_over(await opened(peer), envelope=envelope), Delivered)
        await peer.done()


async def test_a_mail_larger_than_the_server_takes_is_not_offered() -> None:
    async with SmtpPeer([GREETING, (EHLO[0], "250-hi", "250 SIZE 1000"), (HANG_UP,)]) as peer:
        session = await opened(peer)
        verdict = await hand_over(session, wire=b"x" * 1001)
        assert isinstance(verdict, Bounced)
        assert verdict.status == "5.3.4"
        assert session.is_usable


async def test_without_permit_nothing_of_the_mail_leaves() -> None:
    async def stopped() -> Permit:
        return Stopped("Bounced Address")

    async with SmtpPeer([GREETING, EHLO, MAIL, RCPT, DATA, (HANG_UP,)]) as peer:
        session = await opened(peer)
        assert await hand_over(session, permit=stopped) == Halted(Stopped("Bounced Address"))
        assert not session.is_usable
        await peer.done()


async def test_a_permit_that_no_longer_holds_sends_no_dot() -> None:
    async def lost() -> Permit:
        return Go(lambda: False)

    async with SmtpPeer([GREETING, EHLO, MAIL, RCPT, DATA, (HANG_UP,)]) as peer:
        assert isinstance(await hand_over(await opened(peer), permit=lost), Halted)
        await peer.done()


async def test_what_the_permit_raises_ends_the_session() -> None:
    async def broken() -> Permit:
        raise LookupError("no ledger, no database")

    async with SmtpPeer([GREETING, EHLO, MAIL, RCPT, DATA, (HANG_UP,)]) as peer:
        session = await opened(peer)
        with pytest.raises(LookupError):
            await hand_over(session, permit=broken)
        assert not session.is_usable
        await peer.done()


async def test_a_recalled_transaction_was_not_made() -> None:
    async with SmtpPeer([GREETING, EHLO, MAIL, RCPT, ("DATA", Delay(5))]) as peer:
        session = await opened(peer)
        transaction = session.begin()
        running = asyncio.create_task(hand_over(transaction))
        await asyncio.sleep(0.2)
        transaction.recall()
        assert await running == Recalled()


async def test_after_the_dot_there_is_no_recall() -> None:
    async with SmtpPeer([GREETING, EHLO, MAIL, RCPT, DATA, (CONTENT, Delay(0.5), "250 OK")]) as peer:
        session = await opened(peer)
        transaction = session.begin()
        running = asyncio.create_task(hand_over(transaction))
        await asyncio.sleep(0.2)
        transaction.recall()
        assert isinstance(await running, Delivered)


async def test_a_large_mail_arrives_whole() -> None:
    wire = b"X: y\r\n\r\n" + b"0123456789abcdef" * 4 * 200_000 + b"\r\n"
    big = (EHLO[0], "250-hi", "250 PIPELINING")
    async with SmtpPeer([GREETING, big, (r"MAIL.*", "250 OK"), RCPT, DATA, TAKEN]) as peer:
        assert isinstance(await hand_over(await opened(peer), wire=wire), Delivered)
        await peer.done()
    assert peer.sessions[0].contents[0] == wire + b".\r\n"


async def test_a_refusal_before_the_end_of_a_large_mail_counts() -> None:
    wire = b"X: y\r\n\r\n" + b"0123456789abcdef" * 4 * 500_000 + b"\r\n"
    big = (EHLO[0], "250-hi", "250 PIPELINING")
    async with SmtpPeer([GREETING, big, (r"MAIL.*", "250 OK"), RCPT, DATA, (Octets(1000), "552 5.3.4 Too big", Delay(0.3))]) as peer:
        verdict = await hand_over(await opened(peer), wire=wire)
        assert isinstance(verdict, Bounced)
        assert verdict.status == "5.3.4"


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="only Linux can be told when to acknowledge")
async def test_a_reply_that_came_alone_is_acknowledged_at_once() -> None:
    """A server with Nagle's algorithm holds the next one back until then, and Linux would wait 40 ms with it."""
    async with SmtpPeer([GREETING, EHLO, MAIL, RCPT, DATA, TAKEN, MAIL, RCPT, (DATA[0], Wait(), DATA[1]), TAKEN]) as peer:
        session = await opened(peer, tls=False)
        assert isinstance(await hand_over(session), Delivered)
        transaction = session.begin()
        second = asyncio.create_task(hand_over(transaction))
        async with asyncio.timeout(10):
            while "at data" not in repr(transaction):  # noqa: ASYNC110 - it tells nobody how far it is
                await asyncio.sleep(0.001)
        connection = session.dialogue._transport.get_extra_info("socket")  # type: ignore[union-attr]
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK)
        peer.go.set()
        assert isinstance(await second, Delivered)
