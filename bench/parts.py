"""The parts of the bench; each returns keys of the result."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count as counting
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter, sleep

from bench import accounting
from bench.house import SENDER, House, free_port, house
from bench.load import HttpLoad, http_request
from bench.mails import STAMPED, domain, mails
from bench.measure import Receivers, Run, own_cpu, quiet, requests, run_ours, run_peer, watch
from bench.peers import haraka, missing, postfix
from bench.sinks import SITES, Stamps, smtp_sinks
from bench.verify import verified

Report = Callable[[str], None]


@dataclass(slots=True)
class Bench:
    """What parts share: results so far, curves for the plot, how the runs went."""

    report: Report
    quick: bool
    folder: Path
    modules: Path | None
    keys: dict[str, object] = field(default_factory=dict)
    curves: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    latencies: dict[str, list[float]] = field(default_factory=dict)
    disturbed: list[str] = field(default_factory=list)
    numbers: counting[int] = field(default_factory=lambda: counting(0, 1_000_000))

    def note(self, **found: object) -> None:
        """Add keys to the result and show them."""
        for key, value in found.items():
            self.keys[key] = round(value, 3) if isinstance(value, float) else value
            self.report(f"  {key} = {json.dumps(self.keys[key])}")


def part_line(bench: Bench) -> None:
    """delivered_per_s, ratio_*, cpu_ms_per_mail: 4 KB mails, ours and the peers in turn."""
    _beside_peers(
        bench, "line", 4096, ours=4000 if bench.quick else 15_000, theirs=1000 if bench.quick else 3000, rounds=1 if bench.quick else 3
    )


def part_large(bench: Bench) -> None:
    """ratio_postfix_50kb: the same with mails of 50 KB."""
    _beside_peers(
        bench, "large", 50_000, ours=1000 if bench.quick else 4000, theirs=500 if bench.quick else 1500, rounds=1 if bench.quick else 3
    )


def part_latency(bench: Bench) -> None:
    """first_attempt_p50_ms and _p99_ms at half of delivered_per_s, accept_p99_ms at 200 requests a second."""
    half = float(str(bench.keys.get("delivered_per_s", 1000))) / 2
    seconds = 15 if bench.quick else 60
    with sinks_and_house(bench) as (made, receivers):
        run_ours(made, receivers, 500, 4096, start=next(bench.numbers))
        waits = _open_loop(bench, made, receivers, half, seconds)
        bench.latencies["first attempt"] = waits
        bench.note(first_attempt_p50_ms=median(waits) * 1000, first_attempt_p99_ms=_p99(waits) * 1000, first_attempt_rate=half)
        sleep(2)
        answers = _accept(made, 200, 10 if bench.quick else 30, next(bench.numbers))
        bench.note(accept_p99_ms=_p99(answers) * 1000)


def part_accept(bench: Bench) -> None:
    """accept_alone_per_s: one API process, everything that reads the queues stopped; thousand_accept_ms."""
    with sinks_and_house(bench) as (made, receivers):
        times = [_thousand(made, receivers, n) for n in range(3)]
        bench.note(thousand_accept_ms=median(each[0] for each in times) * 1000, thousand_delivered_s=median(each[1] for each in times))
        for service in ("scheduler", "deliverer", "webhook-fanout", "bounce-inbound"):
            _signal(made, service, "STOP")
        rates = []
        for _ in range(3):
            prepared = requests(made, 3000 if bench.quick else 10_000, 4096, start=next(bench.numbers))
            rates.append(asyncio.run(_closed(made, prepared)))
        bench.note(accept_alone_per_s=median(rates))
        for service in ("scheduler", "deliverer", "webhook-fanout", "bounce-inbound"):
            _signal(made, service, "CONT")


def part_idle(bench: Bench) -> None:
    """idle_core_percent: the five services doing nothing for 60 s."""
    with sinks_and_house(bench) as (made, receivers):
        run_ours(made, receivers, 500, 4096, start=next(bench.numbers))
        sleep(5)
        groups = {name: pids for name, pids in made.groups().items() if name not in {"rabbitmq", "postgres", "redis"}}
        first = accounting.read(groups)
        sleep(20 if bench.quick else 60)
        usage = accounting.between(first, accounting.read(groups))
        bench.note(
            idle_core_percent=sum(usage.cpu.values()) / usage.wall * 100, idle_core_percent_by_process=_percent(usage.cpu, usage.wall)
        )


def part_memory(bench: Bench) -> None:
    """rss_200k_mb_by_service: 200,000 mails queued; then attachment_growth_mb with one attachment of 22,000,000 bytes."""
    from base64 import b64encode
    from random import Random

    with sinks_and_house(bench) as (made, receivers):
        run_ours(made, receivers, 500, 4096, start=next(bench.numbers))
        before = _rss(made)
        content = b64encode(Random(1).randbytes(22_000_000)).decode()
        body = {"filename": "data.bin", "type": "application/octet-stream", "content": content}
        mail = next(mails(SENDER, 500, start=next(bench.numbers)))
        receivers.reset()
        peak = _peak(
            made,
            lambda: asyncio.run(_closed(made, [http_request("bench", made.api_key, mail.request({"attachments": [body]}))])),
            receivers,
        )
        bench.note(
            attachment_growth_mb=max(peak[name] - before[name] for name in before),
            attachment_growth_by_service={n: round(peak[n] - before[n], 1) for n in before},
        )
        _signal(made, "deliverer", "STOP")
        total = 20_000 if bench.quick else 200_000
        for _ in range(total // 10_000):
            asyncio.run(_closed(made, requests(made, 10_000, 4096, start=next(bench.numbers))))
            bench.report(f"    queued 10,000 more; {_rss(made)}")
        sleep(5)
        bench.note(rss_200k_mb_by_service=_rss(made))
        _signal(made, "deliverer", "CONT")


def part_scale(bench: Bench) -> None:
    """deliverer_scale_2: jobs queued beforehand, two deliverer processes against one."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    mails_each = 2000 if bench.quick else 8000
    for processes in (1, 2):
        with sinks_and_house(bench, {"SCAISEND_DELIVERERS": str(processes)}) as (made, receivers):
            run_ours(made, receivers, 1000, 4096, start=next(bench.numbers))
            for _ in range(1 if bench.quick else 3):
                rates[processes].append(_from_queue(bench, made, receivers, mails_each))
            bench.report(f"    {processes} deliverer(s): {[round(rate) for rate in rates[processes]]}/s")
    bench.note(
        deliverer_1_per_s=median(rates[1]), deliverer_2_per_s=median(rates[2]), deliverer_scale_2=median(rates[2]) / median(rates[1])
    )


def part_later(bench: Bench) -> None:
    """later_claim_p99_ms: claims of 200 due rows among 10 million that wait."""
    rows = 200_000 if bench.quick else 10_000_000
    with sinks_and_house(bench, {"SCAISEND_ROLES": "route,record,upkeep"}) as (made, _):
        tenant = asyncio.run(made.ask("SELECT id FROM tenants LIMIT 1"))
        bench.report(f"    writing {rows:,} rows")
        asyncio.run(made.ask(_FILL_LATER, tenant, rows))
        asyncio.run(made.ask("ANALYZE later"))
        claims = asyncio.run(made.time_each("SELECT count(*) FROM later_claim(200, interval '60 seconds')", 100))
        bench.note(later_claim_p50_ms=median(claims) * 1000, later_claim_p99_ms=_p99(claims) * 1000)


# Most are due over the next two days, 40,000 are due now: what a morning after an outage looks like.
_FILL_LATER = """
WITH filled AS (
    INSERT INTO later (tenant_id, due_at, delivery_id, attempt, why, source, site, job)
    SELECT $1,
           CASE WHEN n <= 40000 THEN now() - n * interval '1 millisecond' ELSE now() + (1 + random() * 2880) * interval '1 minute' END,
           'AaIKSPJDe3CyoxMxMhTYZQ.' || n || '.0', 1, 'retry', 'default', 'site' || n % 500, decode(repeat('00', 300), 'hex')
    FROM generate_series(1, $2::bigint) AS n
    RETURNING 1
)
SELECT count(*) FROM filled
"""


PARTS: dict[str, Callable[[Bench], None]] = {
    "line": part_line,
    "latency": part_latency,
    "accept": part_accept,
    "large": part_large,
    "idle": part_idle,
    "scale": part_scale,
    "memory": part_memory,
    "later": part_later,
}


class sinks_and_house:  # noqa: N801 - reads as the context that it is
    """Sinks, then a stack that delivers to them."""

    def __init__(self, bench: Bench, settings: dict[str, str] | None = None) -> None:
        self._bench, self._settings, self._stack = bench, settings, ExitStack()

    def __enter__(self) -> tuple[House, Receivers]:
        port = free_port()
        receivers = Receivers(self._stack.enter_context(smtp_sinks(port)), stamps := Stamps(port))
        self._stack.callback(stamps.stop)
        made = self._stack.enter_context(house(port, lambda _: None, settings=self._settings))
        sleep(1)
        return made, receivers

    def __exit__(self, *exc: object) -> None:
        self._stack.close()


def _beside_peers(bench: Bench, name: str, size: int, *, ours: int, theirs: int, rounds: int) -> None:
    runs: dict[str, list[Run]] = {"scaisend": [], "postfix": [], "haraka": []}
    peers = ["postfix"] if not missing("postfix", "opendkim") else []
    peers += ["haraka"] if bench.modules and not missing("node") else []
    for round_ in range(rounds):
        with sinks_and_house(bench) as (made, receivers):
            run_ours(made, receivers, 1000, size, start=next(bench.numbers))
            run, disturbed = quiet(lambda: run_ours(made, receivers, ours, size, start=next(bench.numbers)), bench.report)
            _keep(bench, runs, "scaisend", run, disturbed, name)
            if name == "line" and round_ == 0:
                bench.note(dkim_verified=verified(run.kept, made.dkim_records()))
            recorded = asyncio.run(_recorded(made))
            bench.report(
                f"    round {round_ + 1}: scaisend {run.rate:.0f}/s, {run.delivered} of {run.mails}, {recorded} events recorded so far"
            )
        for peer_name in peers:
            run, disturbed = quiet(lambda: _one_peer(bench, peer_name, theirs, size), bench.report)  # noqa: B023 - called at once
            _keep(bench, runs, peer_name, run, disturbed, name)
            bench.report(f"    round {round_ + 1}: {peer_name} {run.rate:.0f}/s, {run.delivered} of {run.mails}")
    _conclude(bench, name, runs)


def _conclude(bench: Bench, name: str, runs: dict[str, list[Run]]) -> None:
    rates = {peer: median(run.rate for run in found) for peer, found in runs.items() if found}
    cpu = {peer: median(sum(own_cpu(run.usage).values()) * 1000 / run.delivered for run in found) for peer, found in runs.items() if found}
    if name == "large":
        bench.note(delivered_50kb_per_s=rates["scaisend"], cpu_ms_per_mail_50kb=cpu["scaisend"])
        if "postfix" in rates:
            bench.note(ratio_postfix_50kb=rates["scaisend"] / rates["postfix"], postfix_opendkim_50kb_per_s=rates["postfix"])
        return
    typical = min(runs["scaisend"], key=lambda run: abs(run.rate - rates["scaisend"]))
    by_process = {group: round(seconds * 1000 / typical.delivered, 3) for group, seconds in own_cpu(typical.usage).items()}
    bench.note(delivered_per_s=rates["scaisend"], delivered_per_s_runs=[round(run.rate) for run in runs["scaisend"]])
    bench.note(cpu_ms_per_mail=cpu["scaisend"], cpu_ms_per_mail_by_process=by_process)
    if "postfix" in rates:
        bench.note(
            postfix_opendkim_per_s=rates["postfix"],
            cpu_ms_per_mail_postfix=cpu["postfix"],
            ratio_postfix_opendkim=rates["scaisend"] / rates["postfix"],
        )
    if "haraka" in rates:
        bench.note(haraka_per_s=rates["haraka"], cpu_ms_per_mail_haraka=cpu["haraka"], ratio_haraka=rates["scaisend"] / rates["haraka"])


def _keep(bench: Bench, runs: dict[str, list[Run]], who: str, run: Run, disturbed: bool, part: str) -> None:
    runs[who].append(run)
    if disturbed:
        bench.disturbed.append(f"{part}: {who}, {run.usage.foreign:.0%} elsewhere")
    if part == "line":
        bench.curves[who] = run.curve


def _one_peer(bench: Bench, name: str, mails_: int, size: int) -> Run:
    port, folder = free_port(), Path(f"/var/tmp/scaisend-bench-peer-{free_port()}")  # noqa: S108 - our own folder, removed below
    with ExitStack() as stack:
        stack.callback(lambda: shutil.rmtree(folder, ignore_errors=True))
        sinks = stack.enter_context(smtp_sinks(port))
        stamps = Stamps(port)
        stack.callback(stamps.stop)
        folder.mkdir()
        where, sink, sender = free_port(), f"{SITES[0]}:{port}", SENDER.rpartition("@")[2]
        if name == "postfix":
            peer = stack.enter_context(postfix(folder, where, sink, sender))
        else:
            peer = stack.enter_context(haraka(folder, where, sink, sender, bench.modules or Path()))
        receivers = Receivers(sinks, stamps)
        run_peer(peer, receivers, 200, size, start=next(bench.numbers))
        return run_peer(peer, receivers, mails_, size, start=next(bench.numbers))


def _open_loop(bench: Bench, made: House, receivers: Receivers, rate: float, seconds: int) -> list[float]:
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


def _accept(made: House, rate: float, seconds: int, start: int) -> list[float]:
    prepared = requests(made, int(rate * seconds), 4096, start=start)

    async def load() -> list[float]:
        async with HttpLoad("127.0.0.1", made.api_port, 64) as client:
            return (await client.open(iter(prepared), rate)).seconds

    return asyncio.run(load())


async def _closed(made: House, prepared: list[bytes]) -> float:
    """Requests accepted a second."""
    async with HttpLoad("127.0.0.1", made.api_port, 64) as client:
        answers = await client.closed(iter(prepared))
        if answers.accepted != len(prepared):
            raise RuntimeError(f"not all were accepted: {answers.by_status}")
        return answers.accepted / (answers.last_at - answers.first_at)


def _thousand(made: House, receivers: Receivers, n: int) -> tuple[float, float]:
    """Seconds until the 202 of one request with 1,000 personalizations, and until all are delivered."""
    first = next(mails(SENDER, 4096))
    people = [{"to": [{"email": f"ok+{n}.{i}@{domain(i % 50)}"}]} for i in range(1000)]
    receivers.reset()
    begun = perf_counter()
    answers = asyncio.run(_timed(made, http_request("bench", made.api_key, first.request({"personalizations": people}))))
    watch(receivers, 1000, begun, [])
    return answers, receivers.last_at() - begun


async def _timed(made: House, request: bytes) -> float:
    async with HttpLoad("127.0.0.1", made.api_port, 1) as client:
        answers = await client.closed(iter([request]))
        if answers.accepted != 1:
            raise RuntimeError(f"not accepted: {answers.by_status}")
        return answers.seconds[0]


def _from_queue(bench: Bench, made: House, receivers: Receivers, count: int) -> float:
    """Fill the deliverers' queues while they are stopped, let them go, and count mails a second."""
    _signal(made, "deliverer", "STOP")
    receivers.reset()
    asyncio.run(_closed(made, requests(made, count, 4096, start=next(bench.numbers))))
    sleep(3)
    _signal(made, "deliverer", "CONT")
    curve: list[tuple[float, int]] = []
    begun = perf_counter()
    watch(receivers, count, begun, curve)
    # What was in flight when they were stopped comes first; the rate is that of the middle.
    low, high = (next(at for at, n in curve if n >= share * count) for share in (0.2, 0.9))
    return 0.7 * count / (high - low)


async def _recorded(made: House) -> object:
    return await made.ask("SELECT count(*) FROM events")


def _rss(made: House) -> dict[str, float]:
    return {
        name: round(accounting.rss_mb(pids) / max(1, len(pids)), 1)
        for name, pids in made.groups().items()
        if name not in {"rabbitmq", "postgres", "redis"}
    }


def _peak(made: House, act: Callable[[], object], receivers: Receivers) -> dict[str, float]:
    """The highest resident size of each service while `act` runs and until its mail has come."""
    from threading import Event, Thread

    peak, done = _rss(made), Event()

    def look() -> None:
        while not done.wait(0.05):
            for name, size in _rss(made).items():
                peak[name] = max(peak[name], size)

    thread = Thread(target=look)
    thread.start()
    act()
    watch(receivers, 1, perf_counter(), [])
    sleep(1)
    done.set()
    thread.join()
    return peak


def _signal(made: House, service: str, name: str) -> None:
    import os
    import signal

    for pid in made.groups()[service]:
        os.kill(pid, getattr(signal, f"SIG{name}"))


def _p99(values: list[float]) -> float:
    return quantiles(values, n=100)[98] if len(values) > 1 else values[0]


def _percent(cpu: dict[str, float] | object, wall: float) -> dict[str, float]:
    assert isinstance(cpu, dict)
    return {name: round(seconds / wall * 100, 2) for name, seconds in cpu.items()}
