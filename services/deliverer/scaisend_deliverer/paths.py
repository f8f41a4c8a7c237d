"""Paths: for each (source, site) the jobs that are ready, the connections, and the pace; and whose turn it is.

Paths take turns, one job at a time, while fewer attempts are under way in the process than its processor can do (concurrency). A
transactional mail before which no other waits on its path begins as it comes, while few do. Nothing starts on a shard that is not surely
ours.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable

from prometheus_client import Gauge

from scaisend_common.messages import Job, Line, Stream
from scaisend_deliverer.backlog import Backlog
from scaisend_deliverer.concurrency import LOOK_EVERY, Concurrency
from scaisend_deliverer.connections import IDLE_SECONDS, Connections
from scaisend_deliverer.ready import ReadyQueue
from scaisend_deliverer.throttle import Pace, usable_connections
from scaisend_deliverer.waiting import End, Waiting

MOST_READY = 1000  # jobs of one path and stream
LONGEST_READY = 240.0  # seconds; with an attempt of 15 minutes well below the broker's 30
TELL_EVERY = 0.5  # seconds
SLOW_AFTER = 1.0  # seconds from which on an attempt is taken to wait for its server
LAST = 5.0  # seconds for a transaction whose final dot was sent, when its shard is left
AHEAD = 2  # transactional mails that begin at once, though as many attempts are under way as the processor can do
FORGET_AFTER = 300.0  # seconds without a job
READY = Gauge("scaisend_ready_jobs", "Jobs that wait for a connection")
UNDER_WAY = Gauge("scaisend_attempts_under_way", "Attempts under way")


class Path:
    """One (source, site)."""

    def __init__(
        self, source: str, site: str, shard: int, connections: Connections, limit: int, careful_until: float, look: Callable[[Path], None]
    ) -> None:
        self.source = source
        self.site = site
        self.shard = shard
        self.connections = connections
        self.ready: ReadyQueue[Waiting] = ReadyQueue(MOST_READY)
        self.pace = Pace(limit)
        self.backlog = Backlog()
        self.told_at = 0.0  # when routers were last told of the backlog
        self.ended = 0  # attempts at a server since the last sweep
        self.running: set[Waiting] = set()
        self.is_queued = False  # for a turn
        self.used_at = 0.0
        self._careful_until = careful_until
        self._look = look
        self._clock = asyncio.get_running_loop().time

    def most(self) -> int:
        """Return how many connections it may have now; few while an earlier owner of the shard may still have some."""
        return usable_connections(self.pace.limit, is_takeover=self._clock() < self._careful_until, allowed=self.pace.allowed)

    def look_again(self) -> None:
        """There may be room for one more attempt."""
        self._look(self)

    def has_room(self) -> bool:
        """One more attempt finds a connection, or a place behind another's mail."""
        most, need_one = self.most(), len(self.running) - self.connections.behind
        return need_one < most or (most > 0 and need_one < most + self.connections.places(most))

    def __repr__(self) -> str:
        return f"<Path {self.source}|{self.site}: {len(self.ready)} ready, {len(self.running)} running, {self.connections!r}>"


class Paths:
    """`work` brings one job of a path to its end, `overflow` sends one to wait for so many seconds, `broken` parks one.

    `tell` tells routers of a path's backlog; `may_start`: a shard is surely ours; `jitter` in [0, 1).
    """

    def __init__(
        self,
        *,
        limit: int,
        most: int,
        connections: Callable[[], Connections],
        may_start: Callable[[int], bool],
        work: Callable[[Path, Waiting], Coroutine[None, None, None]],
        overflow: Callable[[Waiting, float], Coroutine[None, None, None]],
        broken: Callable[[Waiting, BaseException], Coroutine[None, None, None]],
        tell: Callable[[Path, tuple[Line, ...]], Coroutine[None, None, None]],
        jitter: Callable[[], float],
    ) -> None:
        self._limit = limit
        self._most = most
        self._concurrency = Concurrency.up_to(most)
        self._slow = 0  # attempts that wait for their server, and need no processor
        self._is_looking = False
        self._connections = connections
        self._may_start = may_start
        self._work = work
        self._overflow = overflow
        self._broken = broken
        self._tell = tell
        self._jitter = jitter
        self._loop = asyncio.get_running_loop()
        self._paths: dict[tuple[str, str, int], Path] = {}
        self._turns: deque[Path] = deque()
        self._has_started = False  # an attempt, in this round of the event loop
        self._under_way = 0
        self._ahead = 0  # of them, those that began beside the turns
        self._takeover_until: dict[int, float] = {}
        self._beside: set[asyncio.Task[None]] = set()
        self._stopped = asyncio.Event()

    def put(self, waiting: Waiting) -> None:
        """Take a job in. What has no room goes elsewhere."""
        path = self._path_of(waiting.job)
        path.used_at = waiting.since
        displaced = path.ready.put(waiting.job.stream, waiting.job.tenant_id, waiting)
        self._send_elsewhere(path, [displaced] if displaced is not None else path.ready.trim(path.backlog.room))
        if waiting.job.stream is Stream.TRANSACTIONAL:
            self._go_ahead(path)
        self._queue(path)
        self._start()

    def take_over(self, shard: int, seconds: float) -> None:
        """Go carefully on a shard for so long: its earlier owner may still have connections."""
        self._takeover_until[shard] = self._loop.time() + seconds

    async def leave(self, shards: Iterable[int], patience: float) -> bool:
        """Give up shards: put back what waits, let attempts end, close connections.

        After `patience` seconds what cannot have arrived yet is taken back. False: some transactions still wait for the reply to their dot.
        """
        leaving = set(shards)
        paths = [path for path in self._paths.values() if path.shard in leaving]
        for path in paths:
            for waiting in path.ready.take_where(lambda _: True):
                waiting.finish(End.PUT_BACK)
        await self._ended(paths, patience)
        for path in paths:
            for waiting in path.running:
                waiting.recall()
        await self._ended(paths, LAST)
        await asyncio.gather(*(path.connections.closed() for path in paths))
        for path in paths:
            self._paths.pop((path.source, path.site, path.shard), None)
        for shard in leaving:
            self._takeover_until.pop(shard, None)
        return not any(path.running for path in paths)

    async def run(self) -> None:
        """Look after the paths each second until `stop`."""
        while not self._stopped.is_set():
            self.sweep()
            try:
                async with asyncio.timeout(1.0):
                    await self._stopped.wait()
            except TimeoutError:
                continue

    async def stop(self) -> None:
        """End `run`; everything was left before."""
        self._stopped.set()
        while self._beside:
            await asyncio.wait(self._beside)

    def sweep(self) -> None:
        """Close what is idle, send elsewhere what waits too long, forget what is not used; give everybody a turn."""
        now = self._loop.time()
        for key, path in list(self._paths.items()):
            path.connections.close_idle(now - IDLE_SECONDS)
            path.backlog.after_second(path.ended, is_busy=self._is_busy(path))
            path.ended = 0
            self._send_elsewhere(path, path.ready.take_where(lambda waiting: now - waiting.since > LONGEST_READY))
            self._send_elsewhere(path, path.ready.trim(path.backlog.room))
            self._tell_routers(path, now)
            if not path.running and not path.ready and not path.connections.open and now - path.used_at > FORGET_AFTER:
                del self._paths[key]
            self._queue(path)
        READY.set(sum(len(path.ready) for path in self._paths.values()))
        UNDER_WAY.set(self._under_way)
        slow = [waiting for path in self._paths.values() for waiting in path.running if now - waiting.began_at > SLOW_AFTER]
        self._slow = len(slow)
        for waiting in slow:  # it keeps nobody else from going ahead
            self._ahead -= waiting.is_ahead
            waiting.is_ahead = False
        self._start()

    def _is_busy(self, path: Path) -> bool:
        """The path could do no more: not for want of jobs, of a shard that is ours, or of a turn in this process."""
        return bool(path.ready) and self._may_start(path.shard) and len(path.running) >= path.most() > 0

    def _path_of(self, job: Job) -> Path:
        key = job.source, job.site, job.shard
        path = self._paths.get(key)
        if path is None:
            careful_until = self._takeover_until.get(job.shard, 0.0)
            path = self._paths[key] = Path(*key, self._connections(), self._limit, careful_until, self._look_at)
        return path

    def _look_at(self, path: Path) -> None:
        self._queue(path)
        self._start()

    def _queue(self, path: Path) -> None:
        if path.ready and not path.is_queued:
            path.is_queued = True
            self._turns.append(path)

    def _start(self) -> None:
        """Start attempts, path by path in turn, as long as there is room for one; one in each round of the event loop.

        Each begins with a mail written and signed, for which all others wait; between two, answers are read and new jobs taken in.
        """
        while self._turns and not self._has_started and self._may_begin():
            path = self._turns.popleft()
            path.is_queued = False
            if path.has_room() and self._may_start(path.shard) and (waiting := path.ready.pop()) is not None:
                self._has_started = True
                self._loop.call_soon(self._next_round)
                self._run(path, waiting)
                self._queue(path)  # one that may not start is queued again at its next end, or by the sweep

    def _go_ahead(self, path: Path) -> None:
        """Start the path's only transactional mail beside the turns; where several wait, each has its turn."""
        may_begin = self._ahead < AHEAD and self._under_way < self._most and path.has_room() and self._may_start(path.shard)
        if may_begin and (waiting := path.ready.pop_urgent()) is not None:
            self._ahead += 1
            waiting.is_ahead = True
            self._run(path, waiting)

    def _may_begin(self) -> bool:
        return self._under_way < self._most and self._under_way - self._ahead - self._slow < self._concurrency.allowed

    def _next_round(self) -> None:
        self._has_started = False
        self._start()

    def _look(self, due_at: float) -> None:
        """See how late the event loop is, as long as anything is under way."""
        now = self._loop.time()
        self._concurrency = self._concurrency.after_look(now - due_at, self._under_way - self._slow)
        self._start()
        self._is_looking = self._under_way > 0
        if self._is_looking:
            self._loop.call_later(LOOK_EVERY, self._look, now + LOOK_EVERY)

    def _run(self, path: Path, waiting: Waiting) -> None:
        self._under_way += 1
        if not self._is_looking:
            self._is_looking = True
            self._loop.call_later(LOOK_EVERY, self._look, self._loop.time() + LOOK_EVERY)
        path.running.add(waiting)
        waiting.began_at = self._loop.time()
        waiting.task = asyncio.create_task(self._work(path, waiting))
        waiting.task.add_done_callback(lambda task: self._on_end(path, waiting, task))

    def free(self, path: Path, waiting: Waiting) -> None:
        """The job needs its path no more: somebody else's turn. What follows from its attempt is still to be written."""
        if waiting not in path.running:
            return
        self._under_way -= 1
        self._ahead -= waiting.is_ahead
        path.running.discard(waiting)
        path.ended += waiting.transaction is not None
        path.used_at = self._loop.time()
        self._queue(path)
        self._start()

    def _on_end(self, path: Path, waiting: Waiting, task: asyncio.Task[None]) -> None:
        """Only a bug ends the work on a job with an exception; the jobs beside it in its message must not suffer from it."""
        self.free(path, waiting)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._spawn(self._broken(waiting, error))

    def _send_elsewhere(self, path: Path, jobs: list[Waiting]) -> None:
        """Send jobs to the waiting room, each until the path should have worked off those before it."""
        if not jobs:
            return
        now = self._loop.time()
        for waiting in jobs:
            seconds = path.backlog.send_away(waiting.job.stream, waiting.job.tenant_id, now, self._jitter())
            self._spawn(self._overflow(waiting, seconds))
        self._tell_routers(path, now)

    def _tell_routers(self, path: Path, now: float) -> None:
        """Tell them at once, then each half second, whose jobs need not come here for now."""
        if len(path.backlog) and now - path.told_at >= TELL_EVERY and (lines := path.backlog.lines(now)):
            path.told_at = now
            self._spawn(self._tell(path, lines))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def _ended(self, paths: list[Path], patience: float) -> None:
        running = [waiting.task for path in paths for waiting in path.running if waiting.task is not None]
        if running:
            await asyncio.wait(running, timeout=patience)

    def __repr__(self) -> str:
        return f"<Paths: {len(self._paths)}, {self._under_way} attempts under way>"
