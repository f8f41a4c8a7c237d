"""The connections of a path: warm ones first, never too many, none to a host that is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.deliverer.making import a_job
from tests.deliverer.smtp import DATA, EHLO, GREETING, MAIL, QUIT, RCPT, SOURCE, TIMERS, hand_over
from tests.peers.smtp_dialogue import CONTENT, Close, Delay, Raw, SmtpPeer

from scaisend_common.mail.verdict import Delivered
from scaisend_deliverer.connections import Connections, Egress, LeftAlone, Unreached
from scaisend_deliverer.hosts import Hosts
from scaisend_deliverer.opening import opportunistic_tls
from scaisend_deliverer.paths import Path
from scaisend_deliverer.target import Target
from scaisend_deliverer.throttle import Pace
from scaisend_deliverer.transaction import Transaction
from scaisend_deliverer.waiting import Waiting

LETTER = (MAIL, RCPT, DATA, (CONTENT, "250 OK"))
A, B, DEAD = Target(10, "a.x.test", "127.25.200.1"), Target(20, "b.x.test", "127.25.200.2"), Target(10, "dead.x.test", "127.25.200.3")
PEACEFUL = [GREETING, EHLO, *LETTER, *LETTER, *LETTER, QUIT]


def connections(port: int, mails: int = 100) -> Connections:
    return Connections(Egress(SOURCE, port, TIMERS, opportunistic_tls(), mails), Hosts())


def a_waiting(number: int) -> Waiting:
    loop = asyncio.get_running_loop()
    return Waiting(a_job(number), "q", repeat=False, since=loop.time(), end=loop.create_future())


async def begun(path: Connections, targets: list[Target], most: int = 10) -> Transaction:
    transaction = await path.begin(targets, lambda: most, asyncio.get_running_loop().time() + 10)
    assert isinstance(transaction, Transaction), transaction
    return transaction


@pytest.fixture
async def a() -> AsyncIterator[SmtpPeer]:
    async with SmtpPeer(PEACEFUL, host=A.address) as peer:
        yield peer


async def test_a_warm_connection_is_used_again(a: SmtpPeer) -> None:
    path = connections(a.port)
    first = await begun(path, [A])
    assert isinstance(await hand_over(first), Delivered)
    path.end(first, keep=True)
    assert (path.open, path.idle) == (1, 1)
    assert (await begun(path, [A])).session is first.session
    assert len(a.sessions) == 1


async def test_one_that_served_its_share_is_closed(a: SmtpPeer) -> None:
    path = connections(a.port, mails=1)
    first = await begun(path, [A])
    assert isinstance(await hand_over(first), Delivered)
    path.end(first, keep=True)
    assert path.idle == 0
    assert (await begun(path, [A])).session is not first.session


async def test_one_that_the_server_closed_is_not_lent() -> None:
    async with SmtpPeer([GREETING, EHLO, *LETTER[:3], (CONTENT, "250 OK", "421 Bye", Close())], host=A.address) as peer:
        path = connections(peer.port)
        first = await begun(path, [A])
        assert isinstance(await hand_over(first), Delivered)
        path.end(first, keep=True)
        await peer.done()
        await asyncio.sleep(0.05)
        assert (await begun(path, [A])).session is not first.session


async def test_an_idle_one_makes_room_before_another_is_opened(a: SmtpPeer) -> None:
    async with SmtpPeer(PEACEFUL, host=B.address, port=a.port) as b:
        path = connections(a.port)
        path.end(await begun(path, [A]), keep=True)
        await begun(path, [B], most=1)
        assert path.open == 1
        assert a.sessions[0].is_over.is_set()  # it was gone before
        assert len(b.sessions) == 1


async def test_the_first_host_being_dead_the_second_takes_the_mail_and_the_first_is_left_alone(a: SmtpPeer) -> None:
    async with SmtpPeer(PEACEFUL, host=B.address, port=a.port):
        path = connections(a.port)
        assert (await begun(path, [DEAD, B])).session.target == B
        assert (await begun(path, [DEAD, A])).session.target == A


async def test_a_path_whose_hosts_are_all_dead_is_tried_once(a: SmtpPeer) -> None:
    path = connections(a.port)
    deadline = asyncio.get_running_loop().time() + 10
    unreached = await path.begin([DEAD], lambda: 10, deadline)
    assert isinstance(unreached, Unreached)
    assert unreached.hop.mx_host == DEAD.host
    left = await path.begin([DEAD], lambda: 10, deadline)
    assert isinstance(left, LeftAlone)
    assert 5 < left.seconds < 30
    assert path.open == 0


async def test_after_two_servers_that_would_not_no_third_is_asked() -> None:
    refusing = [("554 5.3.2 No",), QUIT]
    others = [Target(n, f"h{n}.x.test", f"127.25.201.{n}") for n in (1, 2, 3)]
    async with (
        SmtpPeer(refusing, host=others[0].address) as one,
        SmtpPeer(refusing, host=others[1].address, port=one.port) as two,
        SmtpPeer(PEACEFUL, host=others[2].address, port=one.port) as three,
    ):
        path = connections(one.port)
        assert isinstance(await path.begin(others, lambda: 10, asyncio.get_running_loop().time() + 10), Unreached)
        assert [len(peer.sessions) for peer in (one, two, three)] == [1, 1, 0]


async def test_where_tls_fails_mail_goes_in_clear_on_a_new_connection_and_stays_so() -> None:
    offering = (EHLO[0], "250-hi", "250-SIZE", "250-PIPELINING", "250 STARTTLS")
    broken = [GREETING, offering, ("STARTTLS", "220 Go", Raw(b"no handshake at all\r\n"), Close())]
    clear = [GREETING, offering, *LETTER, QUIT]
    async with SmtpPeer(broken, clear, clear, host=A.address) as peer:
        path = connections(peer.port)
        first, second = await begun(path, [A]), await begun(path, [A])
        assert not first.hop(1).tls
        assert isinstance(await hand_over(first), Delivered)
        assert isinstance(await hand_over(second), Delivered)
        assert len(peer.sessions) == 3  # the second did not try TLS again


async def test_idle_ones_are_closed_after_a_while_with_a_quit(a: SmtpPeer) -> None:
    path = connections(a.port)
    last = await begun(path, [A])
    path.end(last, keep=True)
    path.close_idle(asyncio.get_running_loop().time() - 30)
    assert path.idle == 1
    await path.closed()
    assert path.open == 0
    assert a.sessions[0].lines[-1] == "QUIT"


async def test_a_quick_server_gets_its_mails_over_few_connections() -> None:
    async with SmtpPeer([GREETING, EHLO, *LETTER * 4, QUIT], [GREETING, EHLO, *LETTER, QUIT]) as peer:
        path = Connections(Egress(SOURCE, peer.port, TIMERS, None, 100), Hosts())
        target, deadline = Target(10, "mx", peer.host), asyncio.get_running_loop().time() + 10
        first = await path.begin([target], lambda: 10, deadline)
        assert isinstance(first, Transaction)
        assert path.places(10) == 0  # nobody knows yet how quick it is
        assert isinstance(await hand_over(first), Delivered)
        path.end(first, keep=True)
        first.session.answer_seconds = 0.03
        one, two, three = [await path.begin([target], lambda: 10, deadline) for _ in range(3)]
        assert isinstance(one, Transaction)
        assert isinstance(two, Transaction)
        assert isinstance(three, Transaction)
        assert one.session is two.session is first.session
        assert three.session is not first.session
        assert path.open == 2
        path.end(two, keep=True)
        assert path.places(2) == 1
        assert path.places(1) == 0  # it has more than it may: nobody follows on what is to go


async def test_with_a_near_server_a_third_mail_waits_in_line_unless_it_is_to_go_at_once() -> None:
    async with SmtpPeer([GREETING, EHLO, *LETTER], *[[GREETING, EHLO, QUIT]] * 2) as peer:
        path = Connections(Egress(SOURCE, peer.port, TIMERS, None, 100), Hosts())
        target, deadline = Target(10, "mx", peer.host), asyncio.get_running_loop().time() + 10
        first = await path.begin([target], lambda: 10, deadline)
        assert isinstance(first, Transaction)
        assert isinstance(await hand_over(first), Delivered)
        path.end(first, keep=True)
        first.session.answer_seconds = 0.005
        line = [await path.begin([target], lambda: 10, deadline, at_once=at_once) for at_once in (False, False, True, False, False)]
        sessions = [each.session for each in line if isinstance(each, Transaction)]
        assert [session is first.session for session in sessions] == [True, True, False, True, False]


async def test_mail_that_goes_first_finds_a_connection_that_others_leave_alone() -> None:
    async with SmtpPeer([GREETING, EHLO, *LETTER * 2, QUIT], *[[GREETING, EHLO, *LETTER, QUIT]] * 2) as peer:
        path = Connections(Egress(SOURCE, peer.port, TIMERS, None, 100), Hosts())
        target, deadline = Target(10, "mx", peer.host), asyncio.get_running_loop().time() + 10
        first = await path.begin([target], lambda: 3, deadline, at_once=True, sets_apart=True)
        assert isinstance(first, Transaction)
        assert isinstance(await hand_over(first), Delivered)
        first.session.answer_seconds = 0.005
        behind = await path.begin([target], lambda: 3, deadline)  # others take another, whether it is lent
        path.end(first, keep=True)
        beside = await path.begin([target], lambda: 3, deadline)  # or idle
        again = await path.begin([target], lambda: 3, deadline, at_once=True, sets_apart=True)
        assert all(isinstance(each, Transaction) for each in (behind, beside, again))
        assert behind.session is not first.session
        assert beside.session is not first.session
        assert again.session is first.session
        path.end(again, keep=True)
        assert path.open == 3
        last = await path.begin([target], lambda: 3, deadline)
        assert isinstance(last, Transaction)
        assert last.session is first.session  # there is no further one to be had


async def test_those_in_line_count_towards_a_connections_share() -> None:
    async with SmtpPeer([GREETING, EHLO, *LETTER], [GREETING, EHLO, QUIT]) as peer:
        path, target = connections(peer.port, mails=3), Target(10, "mx", peer.host)
        first = await begun(path, [target])
        assert isinstance(await hand_over(first), Delivered)
        path.end(first, keep=True)
        first.session.answer_seconds = 0.005
        sessions = [(await begun(path, [target])).session for _ in range(3)]
        assert [session is first.session for session in sessions] == [True, True, False]


async def test_who_waits_in_line_takes_no_connections_place() -> None:
    async with SmtpPeer([GREETING, EHLO, *LETTER], *[[GREETING, EHLO, QUIT]] * 2) as peer:
        free, target = connections(peer.port), Target(10, "mx", peer.host)
        path = Path("default", "x.test", 0, free, 3, 0.0, lambda _: None)
        path.pace = Pace(3, allowed=2)
        first = await begun(free, [target])
        assert isinstance(await hand_over(first), Delivered)
        free.end(first, keep=True)
        first.session.answer_seconds = 0.005
        for number in range(3):
            path.running.add(waiting := a_waiting(number))
            waiting.transaction = await begun(free, [target], most=2)
        assert (free.open, free.behind) == (1, 2)
        assert path.has_room()
        path.running.add(waiting := a_waiting(3))
        assert not path.has_room()  # it has not begun, and will need the second connection
        waiting.transaction = await begun(free, [target], most=2)
        assert (free.open, free.behind) == (2, 2)
        assert not path.has_room()


async def test_one_that_waits_for_room_looks_again_when_opening_another_failed() -> None:
    async with SmtpPeer([("554 5.3.2 No", Delay(0.3)), QUIT]) as peer:
        path = Connections(Egress(SOURCE, peer.port, TIMERS, None, 100), Hosts())
        target, deadline = Target(10, "mx", peer.host), asyncio.get_running_loop().time() + 10
        opening = asyncio.create_task(path.begin([target], lambda: 1, deadline))
        await asyncio.sleep(0.05)
        waits = asyncio.create_task(path.begin([target], lambda: 1, deadline))
        assert isinstance(await opening, Unreached)
        assert isinstance(await asyncio.wait_for(waits, 2), LeftAlone)
        assert path.open == 0


async def test_nobody_waits_for_room_beyond_its_deadline() -> None:
    async with SmtpPeer([GREETING, EHLO, *LETTER, QUIT]) as peer:
        path = Connections(Egress(SOURCE, peer.port, TIMERS, None, 100), Hosts())
        target, now = Target(10, "mx", peer.host), asyncio.get_running_loop().time()
        assert isinstance(await path.begin([target], lambda: 1, now + 10), Transaction)
        assert await path.begin([target], lambda: 1, now + 0.2) == LeftAlone(0.0)


async def test_at_the_limit_one_waits_for_a_place_instead_of_opening_one_more() -> None:
    async with SmtpPeer([GREETING, EHLO, *LETTER, *LETTER, QUIT]) as peer:
        path = Connections(Egress(SOURCE, peer.port, TIMERS, None, 100), Hosts())
        target, deadline = Target(10, "mx", peer.host), asyncio.get_running_loop().time() + 10
        first = await path.begin([target], lambda: 1, deadline)
        assert isinstance(first, Transaction)
        waits = asyncio.create_task(path.begin([target], lambda: 1, deadline))
        await asyncio.sleep(0.1)
        assert not waits.done()
        assert isinstance(await hand_over(first), Delivered)
        path.end(first, keep=True)
        second = await waits
        assert isinstance(second, Transaction)
        assert second.session is first.session
        assert path.open == 1
