"""Mails one behind the other over one connection: the commands of the next travel behind the mail before, and each gets its own answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from tests.deliverer.smtp import DATA, EHLO, GREETING, MAIL, QUIT, RCPT, SLOW_EHLO, SOURCE, TIMERS, WIRE, hand_over, opened
from tests.peers.smtp_dialogue import CONTENT, HANG_UP, Close, Delay, Reset, SmtpPeer, Wait

from scaisend_common.mail.verdict import Bounced, Deferred, Delivered, Unknown
from scaisend_deliverer import transaction as transaction_module
from scaisend_deliverer.connections import Connections, Egress
from scaisend_deliverer.envelope import Envelope
from scaisend_deliverer.hosts import Hosts
from scaisend_deliverer.permit import Go, Permit
from scaisend_deliverer.session import Session
from scaisend_deliverer.target import Target
from scaisend_deliverer.transaction import ALONG, PATIENCE, Recalled, Result, Stale, Transaction

TAKEN = (CONTENT, "250 2.0.0 queued as 4711")
LETTER = (MAIL, RCPT, DATA, TAKEN)
COMMANDS = b"MAIL FROM:<b.token@bounces.sender.test> SIZE=%d\r\nRCPT TO:<ok@plain.test>\r\nDATA\r\n" % len(WIRE)


class Gate:
    """A permit that is given when the test opens the gate."""

    def __init__(self) -> None:
        self.is_open = asyncio.Event()

    async def __call__(self) -> Permit:
        await self.is_open.wait()
        return Go(lambda: True)


async def two_in_line(session: Session) -> tuple[Gate, asyncio.Task[Result], Transaction, asyncio.Task[Result]]:
    """Begin two mails; the first waits for its gate, the second is ready to go along."""
    gate = Gate()
    first, second = session.begin(), session.begin()

    async def run(transaction: Transaction, permit: Callable[[], Awaitable[Permit]]) -> Result:
        try:
            return await hand_over(transaction, permit=permit)
        finally:
            session.end(transaction)

    async def granted() -> Permit:
        return Go(lambda: True)

    one = asyncio.create_task(run(first, gate))
    two = asyncio.create_task(run(second, granted))
    await asyncio.sleep(0.1)
    return gate, one, second, two


async def test_the_next_mails_commands_travel_behind_the_mail_before() -> None:
    async with SmtpPeer([GREETING, EHLO, *LETTER, *LETTER, QUIT]) as peer:
        session = await opened(peer)
        gate, one, _, two = await two_in_line(session)
        gate.is_open.set()
        assert isinstance(await one, Delivered)
        assert isinstance(await two, Delivered)
        await session.leave()
        await peer.done()
    assert peer.sessions[0].flights[1:4] == [COMMANDS, WIRE + b".\r\n" + COMMANDS, WIRE + b".\r\n"]


async def test_the_commands_of_a_third_wait_for_the_mail_of_the_second() -> None:
    async with SmtpPeer([GREETING, EHLO, *LETTER, *LETTER, *LETTER, QUIT]) as peer:
        session = await opened(peer)
        gate, one, _, two = await two_in_line(session)
        third = session.begin()
        three = asyncio.create_task(hand_over(third))
        await asyncio.sleep(0.1)
        gate.is_open.set()
        assert [type(result) for result in await asyncio.gather(one, two, three)] == [Delivered] * 3
        session.end(third)
        await session.leave()
        await peer.done()
    assert peer.sessions[0].flights[1:5] == [COMMANDS, WIRE + b".\r\n" + COMMANDS, WIRE + b".\r\n" + COMMANDS, WIRE + b".\r\n"]


async def test_behind_commands_whose_mail_does_not_follow_nobody_says_anything() -> None:
    """The server would take it for the mail."""
    async with SmtpPeer([GREETING, EHLO, MAIL, RCPT, DATA, (CONTENT, Wait(), "250 OK"), *LETTER[:3], (HANG_UP,)]) as peer:
        session = await opened(peer)
        gate, one, second, two = await two_in_line(session)
        third = session.begin()
        gate.is_open.set()
        await asyncio.sleep(0.1)
        second.recall()
        assert await two == Recalled()
        three = asyncio.create_task(hand_over(third))
        await asyncio.sleep(0.1)
        peer.go.set()
        assert isinstance(await one, Delivered)
        assert isinstance(await three, Stale)
        await peer.done()
    assert peer.sessions[0].flights[-1] == WIRE + b".\r\n" + COMMANDS


async def test_commands_that_are_ready_late_do_not_wait_for_the_answer_to_the_mail_before() -> None:
    async with SmtpPeer([GREETING, EHLO, MAIL, RCPT, DATA, (CONTENT, Wait(), "250 OK"), *LETTER]) as peer:
        session = await opened(peer)
        gate, one, second, two = await two_in_line(session)
        second.recall()
        assert await two == Recalled()
        gate.is_open.set()
        await asyncio.sleep(0.1)
        third = session.begin()
        late = asyncio.create_task(hand_over(third))
        await asyncio.sleep(0.1)
        assert not one.done()
        peer.go.set()
        assert isinstance(await one, Delivered)
        assert isinstance(await late, Delivered)
        await peer.done()


@pytest.mark.parametrize(("answer", "verdict"), [("554 5.7.1 Spam", Bounced), ("451 4.7.1 Later", Deferred)])
async def test_a_mail_that_was_refused_at_its_end_needs_no_reset_before_what_went_along(answer: str, verdict: type) -> None:
    async with SmtpPeer([GREETING, EHLO, MAIL, RCPT, DATA, (CONTENT, answer), *LETTER]) as peer:
        gate, one, _, two = await two_in_line(await opened(peer))
        gate.is_open.set()
        assert isinstance(await one, verdict)
        assert isinstance(await two, Delivered)
        await peer.done()


async def test_a_recipient_that_was_refused_costs_the_next_mail_nothing() -> None:
    refused = [MAIL, (RCPT[0], "550 5.1.1 Unknown"), ("DATA", "503 5.5.1 No recipients"), ("RSET", "250 OK")]
    async with SmtpPeer([GREETING, EHLO, *refused, *LETTER]) as peer:
        session = await opened(peer)
        _, one, _, two = await two_in_line(session)
        assert isinstance(await one, Bounced)
        assert isinstance(await two, Delivered)
        await peer.done()


@pytest.mark.parametrize(("end", "first"), [(Reset(), Unknown), (Close(), Unknown), ("421 4.3.2 Enough", Deferred)])
async def test_a_connection_that_ends_with_one_mail_costs_the_next_no_attempt(end: Reset | Close | str, first: type) -> None:
    ends = (end,) if not isinstance(end, str) else (end, Close())
    async with SmtpPeer([GREETING, EHLO, MAIL, RCPT, DATA, (CONTENT, *ends)]) as peer:
        session = await opened(peer)
        gate, one, _, two = await two_in_line(session)
        gate.is_open.set()
        assert isinstance(await one, first)
        assert isinstance(await two, Stale)
        assert not session.is_usable


async def test_a_mail_recalled_with_its_commands_under_way_leaves_the_one_before_alone() -> None:
    async with SmtpPeer([GREETING, EHLO, MAIL, RCPT, DATA, (CONTENT, Wait(), "250 OK"), *LETTER[:3], (HANG_UP,)]) as peer:
        session = await opened(peer)
        gate, one, second, two = await two_in_line(session)
        gate.is_open.set()
        await asyncio.sleep(0.1)
        second.recall()
        assert await two == Recalled()
        assert not one.done()
        peer.go.set()
        assert isinstance(await one, Delivered)
        assert not session.is_usable  # the server waits for a mail that does not come
        await peer.done()


async def test_a_mail_cancelled_with_its_commands_under_way_leaves_the_one_before_alone() -> None:
    async with SmtpPeer([GREETING, EHLO, MAIL, RCPT, DATA, (CONTENT, Wait(), "250 OK"), *LETTER[:3], (HANG_UP,)]) as peer:
        session = await opened(peer)
        gate, one, _, two = await two_in_line(session)
        gate.is_open.set()
        await asyncio.sleep(0.1)
        two.cancel()
        with suppress(asyncio.CancelledError):
            await two
        peer.go.set()
        assert isinstance(await one, Delivered)
        assert not session.is_usable


async def test_a_mail_recalled_just_when_its_turn_has_come_gives_no_session_back_with_its_commands_under_way() -> None:
    async with SmtpPeer([GREETING, EHLO, *LETTER, *LETTER[:3], (HANG_UP,)]) as peer:
        session = await opened(peer)
        first, second = session.begin(), session.begin()
        gate = Gate()
        one, two = asyncio.create_task(hand_over(first, permit=gate)), asyncio.create_task(hand_over(second))
        await asyncio.sleep(0.1)
        gate.is_open.set()
        assert isinstance(await one, Delivered)
        session.end(first)
        second.recall()
        result = await two
        session.end(second)
        assert result == Recalled()
        assert not session.is_usable
        await peer.done()


@pytest.mark.parametrize("how", ["recalled", "cancelled"])
async def test_who_stands_behind_a_mail_that_was_taken_back_gets_none_of_its_answers(how: str) -> None:
    """Its own mail would go to the other's recipient."""
    async with SmtpPeer([GREETING, EHLO, *LETTER, *LETTER[:3], (HANG_UP,)]) as peer:
        session = await opened(peer)
        first, second = session.begin(), session.begin()
        gate = Gate()
        one, two = asyncio.create_task(hand_over(first, permit=gate)), asyncio.create_task(hand_over(second))
        await asyncio.sleep(0.1)
        gate.is_open.set()
        assert isinstance(await one, Delivered)
        session.end(first)
        third = session.begin()
        second.recall() if how == "recalled" else two.cancel()
        three = asyncio.create_task(hand_over(third))
        await asyncio.wait((two,))
        session.end(second)
        assert isinstance(await three, Stale)
        session.end(third)
        await peer.done()
    assert len(peer.sessions[0].contents) == 1


async def test_who_has_ended_cannot_be_recalled() -> None:
    async with SmtpPeer([GREETING, EHLO, *LETTER, *LETTER]) as peer:
        session = await opened(peer)
        transaction = session.begin()
        assert isinstance(await hand_over(transaction), Delivered)
        session.end(transaction)
        transaction.recall()
        assert isinstance(await hand_over(session), Delivered)


async def test_who_was_recalled_before_it_began_says_nothing() -> None:
    async with SmtpPeer([GREETING, EHLO, (HANG_UP,)]) as peer:
        transaction = (await opened(peer)).begin()
        transaction.recall()
        assert await hand_over(transaction) == Recalled()
        await peer.done()


async def test_who_went_along_does_not_wait_for_ever_for_the_mail_before() -> None:
    async with SmtpPeer([GREETING, EHLO, MAIL, RCPT, DATA, (CONTENT, Wait(), "250 OK"), *LETTER[:3], (HANG_UP,)]) as peer:
        session = await opened(peer)
        gate, one, _, two = await two_in_line(session)
        gate.is_open.set()
        await asyncio.sleep(0.1)
        session.lose_patience(asyncio.get_running_loop().time() + ALONG - 1)
        await asyncio.sleep(0.05)
        assert not two.done()
        session.lose_patience(asyncio.get_running_loop().time() + ALONG + 1)
        assert isinstance(await two, Stale)
        peer.go.set()
        assert isinstance(await one, Delivered)
        assert not session.is_usable


async def test_a_server_that_speaks_before_the_mail_gets_none() -> None:
    async with SmtpPeer([GREETING, EHLO, MAIL, RCPT, (*DATA, "552 5.3.4 Too big"), (HANG_UP,)]) as peer:
        assert isinstance(await hand_over(await opened(peer)), Deferred)
        await peer.done()
    assert not peer.sessions[0].contents


async def test_a_mail_recalled_before_its_commands_were_sent_leaves_the_session_usable() -> None:
    async with SmtpPeer([GREETING, EHLO, *LETTER, *LETTER]) as peer:
        session = await opened(peer)
        gate, one, second, two = await two_in_line(session)
        second.recall()
        assert await two == Recalled()
        gate.is_open.set()
        assert isinstance(await one, Delivered)
        assert isinstance(await hand_over(session), Delivered)
        await peer.done()


async def test_a_mail_that_waits_long_for_the_one_before_looks_for_another_connection() -> None:
    async with SmtpPeer([GREETING, EHLO, *LETTER]) as peer:
        session = await opened(peer)
        gate, one, _, two = await two_in_line(session)
        three = asyncio.create_task(hand_over(session))
        await asyncio.sleep(0.05)
        now = asyncio.get_running_loop().time()
        session.lose_patience(now)
        await asyncio.sleep(0.05)
        assert not two.done()
        session.lose_patience(now + PATIENCE + 1)
        assert isinstance(await two, Stale)
        assert isinstance(await asyncio.wait_for(three, 5), Stale)
        assert not session.can_be_followed(100)
        gate.is_open.set()
        assert isinstance(await one, Delivered)


async def test_commands_that_the_server_dropped_are_no_attempt_and_it_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transaction_module, "ALONG", 0.3)
    deaf = [GREETING, EHLO, MAIL, RCPT, DATA, (CONTENT, "250 OK"), (MAIL[0], Delay(5))]
    async with SmtpPeer(deaf) as peer:
        gate, one, second, two = await two_in_line(await opened(peer))
        gate.is_open.set()
        assert isinstance(await one, Delivered)
        assert isinstance(await two, Stale)
        assert second.was_ignored


async def test_out_of_turn_is_the_servers_matter_and_no_attempt() -> None:
    confused = [GREETING, EHLO, MAIL, RCPT, DATA, (CONTENT, "554 5.7.1 Spam"), (MAIL[0], "503 5.5.1 Nested MAIL")]
    async with SmtpPeer(confused) as peer:
        gate, one, second, two = await two_in_line(await opened(peer))
        gate.is_open.set()
        assert isinstance(await one, Bounced)
        assert isinstance(await two, Stale)
        assert second.was_ignored


async def test_without_pipelining_nobody_follows() -> None:
    async with SmtpPeer([GREETING, SLOW_EHLO, *LETTER]) as peer:
        session = await opened(peer)
        assert isinstance(await hand_over(session), Delivered)
        session.begin()
        assert not session.can_be_followed(100)


class Oracle:
    """A server that takes whatever order of commands comes, in pipelines, and answers as the recipient's address says: `r550.d451.7@…`."""

    def __init__(self) -> None:
        self.mails: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        number, code, takes = "", 250, False
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                line = (await reader.readuntil(b"\n")).decode().strip()
                if line.startswith("EHLO"):
                    writer.write(b"250-hi\r\n250 PIPELINING\r\n")
                elif line.startswith("RCPT"):
                    refusal, answer, number = line.removeprefix("RCPT TO:<").partition("@")[0].split(".")
                    code, takes = int(answer[1:]), refusal == "r250"
                    writer.write(f"{refusal[1:]} {number}\r\n".encode())
                elif line == "DATA" and takes:
                    writer.write(b"354 go\r\n")
                    while (await reader.readuntil(b"\n")) != b".\r\n":
                        pass
                    self.mails.append(number)
                    writer.write(f"{code} {number}\r\n".encode())
                    takes = False
                    if code == 421:
                        break
                else:
                    writer.write(b"503 no\r\n" if line == "DATA" else b"250 fine\r\n")
        writer.close()


@pytest.mark.parametrize("seed", range(8))
async def test_of_many_mails_over_few_connections_each_gets_its_own_answer(seed: int) -> None:
    """Whatever is refused, and wherever: answers are never taken for another mail's, none is lost and none is sent twice."""
    chance, oracle = random.Random(seed), Oracle()
    server = await asyncio.start_server(oracle.serve, "127.0.0.1", 0)
    connections = Connections(Egress(SOURCE, server.sockets[0].getsockname()[1], TIMERS, None, 25), Hosts())
    target, loop, most = Target(10, "mx", "127.0.0.1"), asyncio.get_running_loop(), 3
    recipients = [(chance.choice((250, 250, 250, 250, 550)), chance.choice((250,) * 8 + (451, 554, 421)), n) for n in range(300)]
    places = asyncio.Semaphore(6)

    async def permit() -> Permit:
        await asyncio.sleep(chance.choice((0, 0, 0.001, 0.003)))
        return Go(lambda: True)

    async def send(refusal: int, answer: int, number: int) -> tuple[int, int, int, Result]:
        envelope = Envelope("b@sender.test", f"r{refusal}.d{answer}.{number}@x.test")
        async with places:
            while True:
                transaction = await connections.begin([target], lambda: most, loop.time() + 10)
                assert isinstance(transaction, Transaction)
                assert connections.open <= most
                try:
                    result = await hand_over(transaction, envelope=envelope, permit=permit)
                finally:
                    connections.end(transaction, keep=True)
                if not isinstance(result, Stale):
                    return refusal, answer, number, result

    for refusal, answer, number, result in await asyncio.gather(*(send(*each) for each in recipients)):
        expected = Bounced if refusal == 550 or answer == 554 else Delivered if answer == 250 else Deferred
        assert isinstance(result, expected), (refusal, answer, number, result)
        assert not isinstance(result, Delivered | Bounced) or str(number) in str(result.reply)
    assert sorted(map(int, oracle.mails)) == [number for refusal, _, number in recipients if refusal == 250]
    await connections.closed()
    server.close()
