"""Greetings, EHLO and STARTTLS, as tables."""

from __future__ import annotations

import ssl

import pytest
from tests.deliverer.smtp import DATA, EHLO, GREETING, MAIL, RCPT, hand_over, opened, try_to_open
from tests.peers.smtp_dialogue import CONTENT, HANG_UP, Close, Delay, Raw, Reset, SmtpPeer, StartTls

from sandbox.certificate import server_context
from scaisend_common.mail.verdict import Delivered
from scaisend_deliverer.opening import NotOpened

TLS_EHLO = (EHLO[0], "250-hi", "250-STARTTLS", "250 SMTPUTF8")
STARTTLS = ("STARTTLS", "220 Go ahead")


@pytest.fixture(scope="module")
def server_tls() -> ssl.SSLContext:
    return server_context("mx.plain.test")


@pytest.mark.parametrize("greeting", ["554 5.3.2 No service here", "421 4.3.2 Busy", "450 later", "999 what", "nonsense"])
async def test_a_host_that_does_not_greet_is_not_opened(greeting: str) -> None:
    async with SmtpPeer([(Raw(greeting.encode() + b"\r\n"),), (r"QUIT", "221 Bye")]) as peer:
        refused = await try_to_open(peer)
        assert isinstance(refused, NotOpened)


async def test_a_greeting_that_never_comes_is_not_waited_for_longer_than_its_timer() -> None:
    async with SmtpPeer([(Delay(10),)]) as peer:
        refused = await try_to_open(peer)
        assert isinstance(refused, NotOpened)
        assert not refused.answered


async def test_a_closed_port_is_not_opened(free_port_without_listener: SmtpPeer) -> None:
    refused = await try_to_open(free_port_without_listener)
    assert isinstance(refused, NotOpened)
    assert not refused.answered
    assert "refused" in refused.verdict.why.lower()


@pytest.fixture
async def free_port_without_listener() -> SmtpPeer:
    async with SmtpPeer([GREETING]) as peer:
        pass
    return peer


async def test_helo_is_for_those_who_know_no_ehlo() -> None:
    async with SmtpPeer(
        [
            GREETING,
            (EHLO[0], "502 5.5.1 What?"),
            (r"HELO out\.scaisend\.test", "250 hi"),
            (r"MAIL FROM:<b\.token@bounces\.sender\.test>", "250 OK"),
            RCPT,
            DATA,
            (CONTENT, "250 OK"),
        ]
    ) as peer:
        assert isinstance(await hand_over(await opened(peer)), Delivered)
        await peer.done()


async def test_a_refused_helo_is_the_hosts_matter() -> None:
    async with SmtpPeer([GREETING, (EHLO[0], "550 5.7.1 Not you"), (r"HELO .*", "550 5.7.1 Not you"), ("QUIT", "221 Bye")]) as peer:
        refused = await try_to_open(peer)
        assert isinstance(refused, NotOpened)
        assert refused.answered
        assert refused.verdict.reply is not None
        await peer.done()


async def test_tls_is_used_where_it_is_offered_and_ehlo_said_again(server_tls: ssl.SSLContext) -> None:
    after = (EHLO[0], "250-hi again", "250 PIPELINING")
    async with SmtpPeer(
        [GREETING, TLS_EHLO, (*STARTTLS, StartTls(server_tls)), after, (r"MAIL.*", "250 OK"), RCPT, DATA, (CONTENT, "250 OK")]
    ) as peer:
        session = await opened(peer)
        assert session.hop(1).tls
        assert session.hop(1).tls_version == "TLSv1.3"
        assert session.offer.pipelining
        assert not session.offer.extensions.smtp_utf8  # only what was said after TLS counts
        assert isinstance(await hand_over(session), Delivered)
        await peer.done()


async def test_words_slipped_in_before_the_handshake_are_forgotten(server_tls: ssl.SSLContext) -> None:
    injected = ("STARTTLS", Raw(b"220 Go ahead\r\n250-evil\r\n250 PIPELINING\r\n"), StartTls(server_tls))
    async with SmtpPeer([GREETING, TLS_EHLO, injected, (EHLO[0], "250 honest")]) as peer:
        session = await opened(peer)
        assert not session.offer.pipelining


async def test_a_refused_starttls_goes_on_in_clear() -> None:
    async with SmtpPeer(
        [GREETING, TLS_EHLO, ("STARTTLS", "454 4.7.0 Not now"), (r"MAIL.*", "250 OK"), RCPT, DATA, (CONTENT, "250 OK")]
    ) as peer:
        session = await opened(peer)
        assert not session.hop(1).tls
        assert isinstance(await hand_over(session), Delivered)


@pytest.mark.parametrize("answer", [Raw(b"this is no handshake\r\n"), Reset(), Close()])
async def test_a_failed_handshake_says_that_clear_may_do(answer: Raw | Reset | Close) -> None:
    async with SmtpPeer([GREETING, TLS_EHLO, (*STARTTLS, answer)], [GREETING, TLS_EHLO, MAIL, (HANG_UP,)]) as peer:
        refused = await try_to_open(peer)
        assert isinstance(refused, NotOpened)
        assert refused.tls_failed
        session = await opened(peer, tls=False)
        assert not session.hop(1).tls


async def test_a_stalled_handshake_ends(server_tls: ssl.SSLContext) -> None:
    async with SmtpPeer([GREETING, TLS_EHLO, (*STARTTLS, Delay(10))]) as peer:
        refused = await try_to_open(peer)
        assert isinstance(refused, NotOpened)
        assert refused.tls_failed
