"""Paths: whose attempt begins when."""

from __future__ import annotations

import asyncio

from tests.deliverer.making import a_job
from tests.deliverer.smtp import SOURCE, TIMERS

from scaisend_common.messages import Line, Stream
from scaisend_deliverer.concurrency import LEAST
from scaisend_deliverer.connections import Connections, Egress
from scaisend_deliverer.hosts import Hosts
from scaisend_deliverer.paths import AHEAD, SLOW_AFTER, Path, Paths
from scaisend_deliverer.waiting import End, Waiting


class Work:
    """Paths whose attempts last until `go`; `begun` as they came."""

    def __init__(self, most: int) -> None:
        self.begun: list[str] = []
        self.waiting: list[Waiting] = []
        self.go = asyncio.Event()
        self.paths = Paths(
            limit=10,
            most=most,
            connections=lambda: Connections(Egress(SOURCE, 25, TIMERS, None, 100), Hosts()),
            may_start=lambda _: True,
            work=self._work,
            overflow=self._overflow,
            broken=self._broken,
            tell=self._tell,
            jitter=lambda: 0.5,
        )
        self._numbers = iter(range(1000))

    def put(self, domain: str, stream: Stream = Stream.BULK) -> None:
        loop = asyncio.get_running_loop()
        job = a_job(next(self._numbers), to=f"ok@{domain}", stream=stream)
        self.waiting.append(Waiting(job, "q", repeat=False, since=loop.time(), end=loop.create_future()))
        self.paths.put(self.waiting[-1])

    async def _work(self, path: Path, waiting: Waiting) -> None:
        self.begun.append(path.site)
        await self.go.wait()
        waiting.finish(End.DONE)

    async def _overflow(self, waiting: Waiting, seconds: float) -> None:
        raise AssertionError(f"{waiting.job.delivery_id} was sent away for {seconds} s")

    async def _broken(self, waiting: Waiting, error: BaseException) -> None:
        raise AssertionError(waiting.job.delivery_id) from error

    async def _tell(self, path: Path, lines: tuple[Line, ...]) -> None:
        raise AssertionError(f"{path!r} told of {lines}")


async def rounds(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_one_attempt_begins_in_each_round_of_the_event_loop() -> None:
    work = Work(most=500)
    for n in range(5):
        work.put(f"d{n}.test")
    seen = []
    for _ in range(6):
        await asyncio.sleep(0)
        seen.append(len(work.begun))
    assert seen == [1, 2, 3, 4, 5, 5]
    work.go.set()
    await rounds(20)  # so that no task is left


async def test_each_path_has_its_turn() -> None:
    work = Work(most=2)
    for domain in ("a.test", "a.test", "a.test", "b.test"):
        work.put(domain)
    work.go.set()
    await rounds(20)
    assert work.begun == ["a.test", "b.test", "a.test", "a.test"]


async def test_no_more_attempts_are_under_way_than_may_be() -> None:
    work = Work(most=3)
    for n in range(5):
        work.put(f"d{n}.test")
    await rounds(20)
    assert len(work.begun) == 3
    work.go.set()
    await rounds(20)
    assert len(work.begun) == 5


async def fill(work: Work, count: int = LEAST) -> None:
    """Put in more bulk than may begin; `count` are under way then."""
    for n in range(3 * LEAST):
        work.put(f"d{n}.test")
    await rounds(3 * LEAST)
    assert len(work.begun) == count
    work.begun.clear()


async def test_transactional_mail_begins_as_it_comes_though_enough_is_under_way() -> None:
    work = Work(most=500)
    await fill(work)
    work.put("quiet.test", Stream.TRANSACTIONAL)
    await asyncio.sleep(0)
    assert work.begun == ["quiet.test"]
    work.go.set()
    await rounds(200)
    assert len(work.begun) == 1 + 2 * LEAST


async def test_few_go_ahead_and_they_take_nothing_from_those_who_have_their_turns() -> None:
    work = Work(most=500)
    for n in range(AHEAD + 3):
        work.put(f"quiet{n}.test", Stream.TRANSACTIONAL)
    await rounds(1)
    assert len(work.begun) == AHEAD + 1  # and one that has its turn
    await fill(work, AHEAD + LEAST)
    work.put("late.test", Stream.TRANSACTIONAL)
    await rounds(5)
    assert "late.test" not in work.begun
    work.go.set()
    await rounds(300)


async def test_no_more_go_ahead_than_may_be_under_way_at_all() -> None:
    work = Work(most=1)
    work.put("a.test", Stream.TRANSACTIONAL)
    work.put("b.test", Stream.TRANSACTIONAL)
    await rounds(5)
    assert work.begun == ["a.test"]
    work.go.set()
    await rounds(20)


async def test_one_that_waits_for_its_server_keeps_nobody_else_from_going_ahead() -> None:
    work = Work(most=500)
    for n in range(AHEAD):
        work.put(f"slow{n}.test", Stream.TRANSACTIONAL)
    await fill(work, AHEAD + LEAST)
    for waiting in work.waiting[:AHEAD]:
        waiting.began_at -= 2 * SLOW_AFTER
    work.paths.sweep()
    work.put("quiet.test", Stream.TRANSACTIONAL)
    await asyncio.sleep(0)
    assert work.begun == ["quiet.test"]
    work.go.set()
    await rounds(300)
    work.go.clear()  # when they have ended, no more go ahead than before
    work.begun.clear()
    for n in range(AHEAD + 3):
        work.put(f"next{n}.test", Stream.TRANSACTIONAL)
    await rounds(1)
    assert len(work.begun) == AHEAD + 1
    work.go.set()
    await rounds(20)
