"""The parts about neighbours: what one sender feels of others, of their number and of the bad sites that they send to.

One steady sender is measured all the time, from each mail's intended instant to its MAIL at the stamping sink; then come the others.
All phases belong to one unbroken run, so the later ones begin as warm as the first; only its first seconds are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median
from time import perf_counter, sleep

from bench import accounting
from bench.accounting import Usage
from bench.floods import Flood, Pouring, Sent, Steady
from bench.gauges import EVERY, Gauges, Look
from bench.hops import hops
from bench.house import House
from bench.mails import domain
from bench.measure import Receivers, everybody
from bench.runs import Bench
from bench.scenes import p99, sinks_and_house
from bench.sinks import Stamps, listening
from bench.tenants import beside, demo, lanes
from scaisend_common.messages import Stream
from scaisend_common.topology import DEFAULT_GROUP, LATER_QUEUE, Topology, deliver_queue

SOURCE, SITE = "default", "stamp.test"  # the path of the steady sender's mail
SLOW, SILENT = "127.0.10.12", "127.0.10.13"
WARM_SECONDS = 5
LOAD_SECONDS = 300  # for which a flood is watched at most
TOLD_EVERY = 15
MISSING_SECONDS = 60  # for which mails that are still under way are waited for
PAUSE = 4.0  # seconds a mail over 20 connections: 5 mails a second
HANG = 60.0
NOBODY = Usage(0.0, {}, 0.0, {})


def part_tenant(bench: Bench) -> None:
    """tenant_p99_quiet_ms, _busy_ms: one mail a second, alone, then beside a tenant's bulk and another's single mails on the same path.

    Of some forty mails of one phase alone, and a hundred beside one flood, the second worst is the 99th percentile: each comes three times.
    """
    each, alone = (5000, 20) if bench.quick else (100_000, 40)
    with sinks_and_house(bench) as (made, receivers), ExitStack() as stack:
        # Their keys are as keys are made: a thousand recipients a request are bulk, single mails beyond 200/s and a burst of 400 too.
        crowd, single = beside(made, "crowd"), beside(made, "single")
        watched = Watched(bench, made, receivers, rate=1)

        def flood() -> Phase:
            before = _taken(receivers)
            pouring = Pouring(Flood(crowd, domain(1), each, 1000, 4), Flood(single, domain(1), each, 1, 16))
            stack.callback(pouring.stop)
            watched.pids["load"].append(pouring.pid)
            with watched.phase() as phase:
                _until_taken(watched, receivers, before + 2 * each)
            phase.taken = _taken(receivers) - before
            _report_answers(bench, pouring)
            return phase

        quiet = watched.alone(alone)
        busy = bench.several("beside floods", flood)
        bench.note_medians(tenant_load_per_s=[phase.taken / (phase.last - phase.first) for phase in busy])
        bench.note(tenant_load_delivered=sum(phase.taken for phase in busy))
        watched.conclude("tenant", {"quiet": quiet, "busy": busy})


def _taken(receivers: Receivers) -> int:
    """Mails of floods that have come in all."""
    taken: int = receivers.stamps.ask("count")["by_domain"].get(domain(1), 0)
    return taken


def _until_taken(watched: Watched, receivers: Receivers, wanted: int) -> None:
    """Wait until so many mails of floods have come in all, or LOAD_SECONDS."""
    begun, told_at, count = perf_counter(), perf_counter(), 0
    while count < wanted and perf_counter() - begun < LOAD_SECONDS:
        sleep(0.2)
        count = _taken(receivers)
        if perf_counter() - told_at > TOLD_EVERY:
            told_at = perf_counter()
            watched.tell(f"{count:,} of {wanted:,} delivered")


def part_neighbour(bench: Bench) -> None:
    """neighbour_p99_quiet_ms, _busy_ms: 20 mails a second, alone, then beside a path of 5/s with 100,000 queued and a site that hangs."""
    each, silent_mails, seconds = (5000, 500, 20) if bench.quick else (100_000, 10_000, 60)
    with sinks_and_house(bench) as (made, receivers), ExitStack() as stack:
        slow = Stamps(made.sink_port, SLOW, pause=PAUSE)
        stack.callback(slow.stop)
        silent = listening("bench.silent", SILENT, made.sink_port, HANG)
        stack.callback(silent.terminate)
        _publish_in_shard(made, {"slow": SLOW, "silent": SILENT})
        # Their stream is the neighbour's, as their key says so: in the bulk stream they would not stand in its queues.
        other = beside(made, "crowd", stream=Stream.TRANSACTIONAL)
        watched = Watched(bench, made, receivers, rate=20, slow=[slow.process.pid], silent=[silent.pid])

        def beside_slow() -> Phase:
            before = int(slow.ask("count")["count"])
            with watched.phase() as phase:
                sleep(seconds)
            phase.taken = int(slow.ask("count")["count"]) - before
            watched.tell(f"the slow path has taken {phase.taken} more")
            return phase

        quiet = watched.alone(seconds)
        pouring = Pouring(Flood(other, "slow.test", each, 1000, 4), Flood(other, "silent.test", silent_mails, 500, 1))
        stack.callback(pouring.stop)
        watched.pids["load"].append(pouring.pid)
        bench.note(neighbour_queued_s=watched.until_routed(each + silent_mails))
        busy = bench.several("beside slow paths", beside_slow)
        bench.note_medians(neighbour_slow_path_per_s=[phase.taken / seconds for phase in busy])
        _report_answers(bench, pouring)
        watched.conclude("neighbour", {"quiet": quiet, "busy": busy})
        alone, together = (float(str(bench.keys[f"neighbour_p99_{phase}_ms"])) for phase in ("quiet", "busy"))
        bench.note(neighbour_p99_ratio=together / alone)


@dataclass(slots=True)
class Phase:
    """What is due between two instants belongs to it. `taken`: what others' receiver took meanwhile."""

    first: float
    last: float = 0.0
    usage: Usage = NOBODY
    taken: int = 0


class Watched:
    """The steady sender and its phases: what is due between them belongs to none. `others`: further processes of the run."""

    def __init__(self, bench: Bench, made: House, receivers: Receivers, rate: float, **others: list[int]) -> None:
        self._bench, self._made, self._receivers = bench, made, receivers
        receivers.reset()
        shard = Topology().shard(SOURCE, SITE)
        queues = [*lanes(made), *(deliver_queue(DEFAULT_GROUP, shard, stream) for stream in Stream), LATER_QUEUE]
        self._steady = Steady(demo(made), domain(0), rate)
        self.pids = everybody(made, receivers) | others
        self.pids["load"] = [*self.pids["load"], self._steady.pid]
        self._gauges = Gauges(made, queues, self.pids)
        self._told: Look = self._gauges.looks[0]

    def alone(self, seconds: float) -> list[Phase]:
        """Let it send alone, several times."""

        def once() -> Phase:
            with self.phase() as phase:
                sleep(seconds)
            self.tell("alone")
            return phase

        sleep(WARM_SECONDS)
        return self._bench.several("alone", once)

    @contextmanager
    def phase(self) -> Iterator[Phase]:
        """What is due meanwhile belongs to this phase."""
        groups = dict(self.pids)
        before = accounting.read(groups)
        phase = Phase(perf_counter())
        yield phase
        phase.last = perf_counter()
        phase.usage = accounting.between(before, accounting.read(groups))

    def tell(self, what: str) -> None:
        """Report progress and what the gauges show."""
        look = self._gauges.looks[-1]
        if look is not self._told:
            self._bench.report(f"    {what}; {look.line(self._told)}")
            self._told = look

    def until_routed(self, deliveries: int) -> float:
        """Wait until so many deliveries of others are queued for their paths; return the seconds."""
        begun, before = perf_counter(), self._gauges.looks[-1].routed
        while self._gauges.looks[-1].routed - before < deliveries:
            if perf_counter() - begun > LOAD_SECONDS:
                raise RuntimeError(f"{deliveries} mails were not routed within {LOAD_SECONDS} s")
            sleep(0.2)
            if self._gauges.looks[-1].at - self._told.at >= TOLD_EVERY:
                self.tell("queueing")
        sleep(EVERY)  # some of those counted were the steady sender's own
        return perf_counter() - begun

    def conclude(self, name: str, phases: dict[str, list[Phase]]) -> None:
        """Stop, and note what the phases of each kind were like: medians of several."""
        ended = perf_counter()
        sent = self._steady.stop()
        while perf_counter() - ended < MISSING_SECONDS and self._receivers.stamps.ask("count")["by_domain"].get(domain(0), 0) < sent.count:
            sleep(0.2)
        self._gauges.stop()
        mail_at = self._receivers.stamps.ask("dump")["mail_at"]
        for kind, times in phases.items():
            self._note(name, kind, times, sent, mail_at)

    def _note(self, name: str, phase: str, times: list[Phase], sent: Sent, mail_at: dict[str, float]) -> None:
        waits = [self._waits(phase, each, sent, mail_at) for each in times]
        p99s = [p99(each) * 1000 for each in waits]
        typical = times[p99s.index(sorted(p99s)[len(p99s) // 2])]
        recipients = [self._steady.recipient(n) for n, due in self._dues(sent) if any(each.first <= due < each.last for each in times)]
        self._bench.latencies[f"{name}, {phase}"] = [wait for each in waits for wait in each]
        self._bench.note_medians(
            **{f"{name}_p50_{phase}_ms": [median(each) * 1000 for each in waits], f"{name}_p99_{phase}_ms": p99s},
        )
        self._bench.note(
            **{
                f"{name}_max_{phase}_ms": max(max(each) for each in waits) * 1000,
                f"{name}_mails_{phase}": len(recipients),
                f"{name}_missing_{phase}": sum(each not in mail_at for each in recipients),
                f"{name}_hops_{phase}_ms": hops(self._made, self._steady, sent, typical.first, typical.last),
            }
        )

    def _waits(self, name: str, phase: Phase, sent: Sent, mail_at: dict[str, float]) -> list[float]:
        """Seconds of each mail that was due in a phase; one that has not come has waited until now at least."""
        now, slowest = perf_counter(), []
        for n, due in self._dues(sent):
            if phase.first <= due < phase.last:
                slowest.append((mail_at.get(self._steady.recipient(n), now) - due, due - phase.first))
        first, last = self._gauges.last_before(phase.first), self._gauges.last_before(phase.last)
        said = ", ".join(f"{seconds * 1000:.0f} ms at {at:.0f} s" for seconds, at in sorted(slowest, reverse=True)[:6])
        self._bench.report(f"    {name}: slowest {said}; {last.counted(first)}; {last.line(first)}")
        return [seconds for seconds, _ in slowest]

    def _dues(self, sent: Sent) -> Iterator[tuple[int, float]]:
        return ((n, sent.begun + n / self._steady.rate) for n in range(sent.count))


def _publish_in_shard(made: House, addresses: dict[str, str]) -> None:
    """Lead `<name>.test` to each address, its host's operator so named that the site is in the shard of SITE."""
    topology = Topology()
    for name, address in addresses.items():
        number = next(n for n in range(1000) if topology.shard(SOURCE, f"{name}{n}.test") == topology.shard(SOURCE, SITE))
        host = f"mx.{name}{number}.test"
        made.publish([{"name": host, "type": "A", "value": address}, {"name": f"{name}.test", "type": "MX", "value": f"10 {host}"}])


def _report_answers(bench: Bench, pouring: Pouring) -> None:
    if not pouring.answers.done():
        bench.report("    not all of the load was accepted")
        return
    for answers in pouring.answers.result():
        seconds = answers.last_at - answers.first_at
        bench.report(f"    {answers.by_status} in {seconds:.1f} s, 503 obeyed {answers.put_off} times")
