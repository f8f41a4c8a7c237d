"""What a house looks like from outside while mail goes through: depths of its queues, what its services count, who uses the CPU."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event, Thread
from time import perf_counter
from urllib.request import urlopen

import aio_pika

from bench import accounting
from bench.accounting import Reading
from bench.house import House
from devstack.settings import health_urls, server_urls

EVERY = 5.0  # seconds; a look costs each service some milliseconds
_METRIC = re.compile(r"^scaisend_(\w+?)(?:_total)?(?:\{([^}]*)\})? ([0-9.e+-]+)$", re.MULTILINE)
_WANTED = (
    "jobs",
    "later_items",
    "later_awakened",
    "routed_deliveries",
    "ready_jobs",
    "attempts_under_way",
    "route_wait_seconds_sum",
    "route_wait_seconds_count",
)


@dataclass(frozen=True, slots=True)
class Look:
    """One look: messages that wait in each queue, metrics summed over processes (name, or name and label), CPU."""

    at: float
    depths: dict[str, int]
    metrics: Counter[str]
    cpu: Reading

    @property
    def later(self) -> int:
        """Jobs in the waiting room."""
        return sum(
            round(n) if name.startswith("later_items") else -round(n) for name, n in self.metrics.items() if name.startswith("later_")
        )

    @property
    def routed(self) -> int:
        """Deliveries that the router has sent on."""
        return sum(round(n) for name, n in self.metrics.items() if name.startswith("routed_deliveries"))

    def line(self, since: Look) -> str:
        """What there is to see since an earlier look."""
        usage = accounting.between(since.cpu, self.cpu)
        busy = " ".join(f"{name} {seconds / usage.wall:.0%}" for name, seconds in usage.cpu.items() if seconds > 0.03 * usage.wall)
        depths = " ".join(f"{name} {depth}" for name, depth in self.depths.items() if depth)
        ready = f"ready {self.metrics['ready_jobs']:.0f}, under way {self.metrics['attempts_under_way']:.0f}, later {self.later:.0f}"
        return f"{depths or 'no message waits'}; {ready}; CPU {busy}"

    def counted(self, since: Look) -> dict[str, float]:
        """What was done since an earlier look: jobs by what became of them, and the mean wait for the router in ms."""
        done = self.metrics - since.metrics
        found = {name: round(n) for name, n in sorted(done.items()) if name.startswith(("jobs ", "later_"))}
        if loads := done["route_wait_seconds_count"]:
            found["mean ms to the router"] = round(done["route_wait_seconds_sum"] / loads * 1000)
        return found


class Gauges:
    """Looks every few seconds, in a thread, until `stop`."""

    def __init__(self, made: House, queues: Sequence[str], pids: dict[str, list[int]]) -> None:
        self._made, self._queues, self._pids = made, queues, pids
        self._done = Event()
        self.looks: list[Look] = []
        self._thread = Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        while not self.looks:
            if not self._thread.is_alive():
                raise RuntimeError("the gauges could not be read")
            self._done.wait(0.05)

    def stop(self) -> None:
        """Look no more."""
        self._done.set()
        self._thread.join(10)

    def last_before(self, at: float) -> Look:
        """The last look before an instant, else the first."""
        return next((look for look in reversed(self.looks) if look.at <= at), self.looks[0])

    async def _run(self) -> None:
        async with await aio_pika.connect(server_urls(self._made.place).amqp_url) as connection:
            channel = await connection.channel()
            while True:
                depths = {}
                for name in self._queues:
                    queue = await channel.declare_queue(name, passive=True)
                    depths[name] = queue.declaration_result.message_count or 0
                self.looks.append(Look(perf_counter(), depths, _metrics(self._made), accounting.read(self._pids)))
                if await asyncio.get_running_loop().run_in_executor(None, self._done.wait, EVERY):
                    return


def _metrics(made: House) -> Counter[str]:
    """Sum what is wanted over the schedulers and deliverers."""
    found: Counter[str] = Counter()
    urls = health_urls(made.place)
    for url in (*urls["scheduler"], *urls["deliverer"]):
        with urlopen(f"{url}/metrics", timeout=30) as answer:
            for name, labels, value in _METRIC.findall(answer.read().decode()):
                if name in _WANTED:
                    label = labels.partition('="')[2].rstrip('"')
                    found[f"{name} {label}".rstrip()] += float(value)
    return found
