"""One run of the line, ours or a peer's: mails in, mails out, CPU and seconds between."""

from __future__ import annotations

import asyncio
import os
from base64 import b64decode
from dataclasses import dataclass, field
from itertools import islice
from time import perf_counter, sleep

from bench import accounting
from bench.accounting import Usage
from bench.house import SENDER, House
from bench.load import HttpLoad, http_request, inject_smtp
from bench.mails import mails
from bench.peers import Peer
from bench.sinks import SmtpSink, Stamps

STALL_SECONDS = 30
LOAD = {"load": [-os.getpid()]}  # this process, without its children: sinks are among them


@dataclass(slots=True)
class Run:
    """What one run came to. `curve` holds (seconds since the start, mails delivered)."""

    mails: int
    seconds: float
    usage: Usage
    delivered: int
    curve: list[tuple[float, int]] = field(default_factory=list)
    kept: list[bytes] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Mails a second from the first byte to the last end of data."""
        return self.delivered / self.seconds


class Receivers:
    """Both sinks as one: how many mails, and when the last came."""

    def __init__(self, sink: SmtpSink, stamps: Stamps) -> None:
        self._sink, self.stamps = sink, stamps
        self._before = 0

    def groups(self) -> dict[str, list[int]]:
        """Their processes."""
        return {"sink": [self._sink.process.pid, self.stamps.process.pid]}

    def reset(self) -> None:
        """Count from here on."""
        self.stamps.ask("dump")
        self._before = self._sink.count

    def count(self) -> int:
        """Mails since the reset."""
        return self._sink.count - self._before + int(self.stamps.ask("count")["count"])

    def last_at(self) -> float:
        """When the last mail ended."""
        return max(self._sink.last_at, float(self.stamps.ask("count")["last_at"]))


def watch(receivers: Receivers, wanted: int, begun: float, curve: list[tuple[float, int]], *, every: float = 0.1) -> int:
    """Wait until `wanted` mails have come, or none for STALL_SECONDS; return how many came. It looks `every` so many seconds."""
    seen, changed = 0, perf_counter()
    while True:
        count = receivers.count()
        curve.append((perf_counter() - begun, count))
        if count != seen:
            seen, changed = count, perf_counter()
        if count >= wanted or perf_counter() - changed > STALL_SECONDS:
            return count
        sleep(every)


def everybody(house: House, receivers: Receivers) -> dict[str, list[int]]:
    """The processes of a run: the house, both sinks and who sends."""
    return house.groups() | receivers.groups() | LOAD


def requests(house: House, count: int, size: int, *, start: int) -> list[bytes]:
    """The bytes of `count` requests, made before the clock runs."""
    return [http_request("bench", house.api_key, mail.request()) for mail in islice(mails(SENDER, size, start=start), count)]


def run_ours(house: House, receivers: Receivers, count: int, size: int, *, start: int, connections: int = 64) -> Run:
    """Send `count` mails as fast as they are accepted, and wait for the last delivery."""
    prepared = requests(house, count, size, start=start)
    receivers.reset()
    groups = everybody(house, receivers)
    curve: list[tuple[float, int]] = []

    async def load() -> tuple[float, int]:
        async with HttpLoad("127.0.0.1", house.api_port, connections) as client:
            watcher = asyncio.get_running_loop().run_in_executor(None, watch, receivers, count, perf_counter(), curve)
            answers = await client.closed(iter(prepared))
            if answers.accepted != count:
                raise RuntimeError(f"not all were accepted: {answers.by_status}")
            return answers.first_at, await watcher

    first = accounting.read(groups)
    begun, delivered = asyncio.run(load())
    usage = accounting.between(first, accounting.read(groups))
    last = receivers.last_at()
    kept = [b64decode(each) for each in receivers.stamps.ask("dump")["kept"]]
    return Run(count, last - begun, usage, delivered, curve, kept)


def run_peer(peer: Peer, receivers: Receivers, count: int, size: int, *, start: int) -> Run:
    """Hand a peer the same mails over SMTP and wait for the last delivery."""
    prepared = [(mail.recipient, mail.mime()) for mail in islice(mails(SENDER, size, start=start), count)]
    receivers.reset()
    groups = peer.groups | receivers.groups() | LOAD
    curve: list[tuple[float, int]] = []

    async def load() -> int:
        watcher = asyncio.get_running_loop().run_in_executor(None, watch, receivers, count, begun, curve)
        await inject_smtp("127.0.0.1", peer.port, SENDER, iter(prepared))
        return await watcher

    first, begun = accounting.read(groups), perf_counter()
    delivered = asyncio.run(load())
    usage = accounting.between(first, accounting.read(groups))
    return Run(count, receivers.last_at() - begun, usage, delivered, curve)


def own_cpu(usage: Usage) -> dict[str, float]:
    """CPU without sinks and load generator."""
    return {group: seconds for group, seconds in usage.cpu.items() if group not in {"sink", "load"}}
