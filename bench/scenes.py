"""What the parts of the bench do with a running house: fill it, time it, look at its processes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from statistics import quantiles
from threading import Event, Thread
from time import perf_counter, sleep

from bench import accounting
from bench.house import SENDER, House, free_port, house
from bench.load import HttpLoad, http_request
from bench.mails import STAMPED, domain, mails
from bench.measure import Receivers, requests, watch
from bench.runs import Bench
from bench.sinks import Stamps, smtp_sink


class sinks_and_house:  # noqa: N801 - reads as the context that it is
    """Sinks, then a stack that delivers to them."""

    def __init__(self, bench: Bench, settings: dict[str, str] | None = None) -> None:
        self._bench, self._settings, self._stack = bench, settings, ExitStack()

    def __enter__(self) -> tuple[House, Receivers]:
        port = free_port()
        receivers = Receivers(self._stack.enter_context(smtp_sink(port)), stamps := Stamps(port))
        self._stack.callback(stamps.stop)
        made = self._stack.enter_context(house(port, lambda _: None, settings=self._settings))
        sleep(1)
        return made, receivers

    def __exit__(self, *exc: object) -> None:
        self._stack.close()


def open_loop(bench: Bench, made: House, receivers: Receivers, rate: float, seconds: int) -> list[float]:
    """Seconds from the intended instant of each stamped mail to its MAIL command at the stamping sink."""
    count = int(rate * seconds)
    prepared = requests(made, count, 4096, start=(start := next(bench.numbers)))
    receivers.reset()

    async def load() -> float:
        async with HttpLoad("127.0.0.1", made.api_port, 64) as client:
            answers = await client.open(iter(prepared), rate)
            if answers.accepted != count:
                raise RuntimeError(f"not all were accepted: {answers.by_status}")
            return answers.first_at

    begun = asyncio.run(load())
    watch(receivers, count, perf_counter(), [])
    mail_at = receivers.stamps.ask("dump")["mail_at"]
    waits = []
    for n in range(count):
        number = start + n
        if number % 50 < STAMPED and (at := mail_at.get(f"ok+{number}@{domain(number % 50)}")):
            waits.append(at - (begun + n / rate))
    bench.report(f"    {len(waits)} of {count} mails stamped at {rate:.0f}/s")
    return waits


def accept_latencies(made: House, rate: float, seconds: int, start: int) -> list[float]:
    prepared = requests(made, int(rate * seconds), 4096, start=start)

    async def load() -> list[float]:
        async with HttpLoad("127.0.0.1", made.api_port, 64) as client:
            return (await client.open(iter(prepared), rate)).seconds

    return asyncio.run(load())


async def send_all(made: House, prepared: list[bytes], *, connections: int = 64) -> float:
    """Requests accepted a second."""
    async with HttpLoad("127.0.0.1", made.api_port, connections) as client:
        answers = await client.closed(iter(prepared))
        if answers.accepted != len(prepared):
            raise RuntimeError(f"not all were accepted: {answers.by_status}")
        return answers.accepted / (answers.last_at - answers.first_at)


def thousand(made: House, receivers: Receivers, n: int) -> tuple[float, float]:
    """Seconds until the 202 of one request with 1,000 personalizations, and until all are delivered."""
    first = next(mails(SENDER, 4096))
    people = [{"to": [{"email": f"ok+{n}.{i}@{domain(i % 50)}"}]} for i in range(1000)]
    receivers.reset()
    begun = perf_counter()
    answers = asyncio.run(timed(made, http_request("bench", made.api_key, first.request({"personalizations": people}))))
    watch(receivers, 1000, begun, [])
    return answers, receivers.last_at() - begun


async def timed(made: House, request: bytes) -> float:
    async with HttpLoad("127.0.0.1", made.api_port, 1) as client:
        answers = await client.closed(iter([request]))
        if answers.accepted != 1:
            raise RuntimeError(f"not accepted: {answers.by_status}")
        return answers.seconds[0]


def from_queue(bench: Bench, made: House, receivers: Receivers, count: int) -> float:
    """Fill the deliverers' queues while they are stopped, let them go, and count mails a second while each of them has jobs queued.

    Who stands still for ten seconds loses its shards, and asks the ledger about each job afterwards: `count` must be accepted before.
    """
    signal_all(made, "deliverer", "STOP")
    receivers.reset()
    asyncio.run(send_all(made, requests(made, count, 4096, start=next(bench.numbers))))
    sleep(1)
    signal_all(made, "deliverer", "CONT")
    curve: list[tuple[float, int]] = []
    begun = perf_counter()
    watch(receivers, count, begun, curve, every=0.2)  # a look takes a millisecond of processors that are full
    # What was in flight when they were stopped comes first. Nine sites do not share out evenly: of two deliverers one may have but 36 %
    # of the mail, and nothing left when 72 % are delivered.
    return 0.5 * count / (_reached(curve, 0.7 * count) - _reached(curve, 0.2 * count))


def _reached(curve: list[tuple[float, int]], wanted: float) -> float:
    """Seconds until so many had come, on the line between two looks: they lie some tenths of a second apart."""
    for (before, few), (after, many) in pairwise([(0.0, 0), *curve]):
        if many >= wanted:
            return before + (after - before) * (wanted - few) / (many - few)
    raise ValueError(f"only {curve[-1][1]} of {wanted:.0f} came")


async def recorded_events(made: House) -> object:
    return await made.ask("SELECT count(*) FROM events")


def rss(made: House) -> dict[str, float]:
    return {
        name: round(accounting.rss_mb(pids) / max(1, len(pids)), 1)
        for name, pids in made.groups().items()
        if name not in {"rabbitmq", "postgres", "redis"}
    }


def peak_rss(made: House, act: Callable[[], object], receivers: Receivers) -> dict[str, float]:
    """The highest resident size of each service while `act` runs and until its mail has come."""
    peak, done = rss(made), Event()

    def look() -> None:
        while not done.wait(0.05):
            for name, size in rss(made).items():
                peak[name] = max(peak[name], size)

    thread = Thread(target=look)
    thread.start()
    act()
    watch(receivers, 1, perf_counter(), [])
    sleep(1)
    done.set()
    thread.join()
    return peak


def signal_all(made: House, service: str, name: str) -> None:
    for pid in made.groups()[service]:
        os.kill(pid, getattr(signal, f"SIG{name}"))


def p99(values: list[float]) -> float:
    return quantiles(values, n=100, method="inclusive")[98] if len(values) > 1 else values[0]


def percent(cpu: dict[str, float], wall: float) -> dict[str, float]:
    return {name: round(seconds / wall * 100, 2) for name, seconds in cpu.items()}
