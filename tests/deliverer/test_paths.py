"""Paths: whose attempt begins when."""

from __future__ import annotations

import asyncio

from tests.deliverer.making import a_job
from tests.deliverer.smtp import SOURCE, TIMERS

from scaisend_common.messages import Line
from scaisend_deliverer.connections import Connections, Egress
from scaisend_deliverer.hosts import Hosts
from scaisend_deliverer.paths import Path, Paths
from scaisend_deliverer.waiting import End, Waiting


class Work:
    """Paths whose attempts last until `go`; `begun` as they came."""

    def __init__(self, most: int) -> None:
        self.begun: list[str] = []
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

    def put(self, domain: str) -> None:
        loop = asyncio.get_running_loop()
        job = a_job(next(self._numbers), to=f"ok@{domain}")
        self.paths.put(Waiting(job, "q", repeat=False, since=loop.time(), end=loop.create_future()))

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
