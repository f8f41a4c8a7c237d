"""The parts of the bench; each returns keys of the result."""

from __future__ import annotations

import asyncio
import shutil
from base64 import b64encode
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random
from statistics import median
from time import sleep

from bench import accounting
from bench.house import SENDER, free_port
from bench.load import http_request
from bench.mails import mails
from bench.measure import Receivers, Run, own_cpu, quiet, requests, run_ours, run_peer
from bench.neighbours import part_neighbour, part_tenant
from bench.peers import haraka, missing, postfix
from bench.rtt import part_rtt
from bench.scenes import (
    Bench,
    accept_latencies,
    from_queue,
    open_loop,
    p99,
    peak_rss,
    percent,
    recorded_events,
    rss,
    send_all,
    signal_all,
    sinks_and_house,
    thousand,
)
from bench.sinks import SINK, Stamps, smtp_sink
from bench.verify import verified


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
        waits = open_loop(bench, made, receivers, half, seconds)
        bench.latencies["first attempt"] = waits
        bench.note(first_attempt_p50_ms=median(waits) * 1000, first_attempt_p99_ms=p99(waits) * 1000, first_attempt_rate=half)
        sleep(2)
        answers = accept_latencies(made, 200, 10 if bench.quick else 30, next(bench.numbers))
        bench.note(accept_p99_ms=p99(answers) * 1000)


def part_accept(bench: Bench) -> None:
    """accept_alone_per_s: one API process, everything that reads the queues stopped; thousand_accept_ms."""
    with sinks_and_house(bench) as (made, receivers):
        times = [thousand(made, receivers, n) for n in range(3)]
        bench.note(thousand_accept_ms=median(each[0] for each in times) * 1000, thousand_delivered_s=median(each[1] for each in times))
        for service in ("scheduler", "deliverer", "webhook-fanout", "bounce-inbound"):
            signal_all(made, service, "STOP")
        rates = []
        for _ in range(3):
            prepared = requests(made, 3000 if bench.quick else 10_000, 4096, start=next(bench.numbers))
            rates.append(asyncio.run(send_all(made, prepared)))
        bench.note(accept_alone_per_s=median(rates))
        for service in ("scheduler", "deliverer", "webhook-fanout", "bounce-inbound"):
            signal_all(made, service, "CONT")


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
            idle_core_percent=sum(usage.cpu.values()) / usage.wall * 100, idle_core_percent_by_process=percent(usage.cpu, usage.wall)
        )


def part_memory(bench: Bench) -> None:
    """rss_200k_mb_by_service: 200,000 mails queued; then attachment_growth_mb with one attachment of 22,000,000 bytes."""
    with sinks_and_house(bench) as (made, receivers):
        run_ours(made, receivers, 500, 4096, start=next(bench.numbers))
        before = rss(made)
        content = b64encode(Random(1).randbytes(22_000_000)).decode()
        body = {"filename": "data.bin", "type": "application/octet-stream", "content": content}
        mail = next(mails(SENDER, 500, start=next(bench.numbers)))
        receivers.reset()
        peak = peak_rss(
            made,
            lambda: asyncio.run(send_all(made, [http_request("bench", made.api_key, mail.request({"attachments": [body]}))])),
            receivers,
        )
        bench.note(
            attachment_growth_mb=max(peak[name] - before[name] for name in before),
            attachment_growth_by_service={n: round(peak[n] - before[n], 1) for n in before},
        )
        signal_all(made, "deliverer", "STOP")
        total = 20_000 if bench.quick else 200_000
        for _ in range(total // 10_000):
            asyncio.run(send_all(made, requests(made, 10_000, 4096, start=next(bench.numbers))))
            bench.report(f"    queued 10,000 more; {rss(made)}")
        sleep(5)
        bench.note(rss_200k_mb_by_service=rss(made))
        signal_all(made, "deliverer", "CONT")


def part_scale(bench: Bench) -> None:
    """deliverer_scale_2: jobs queued beforehand, two deliverer processes against one, in turn: the host is another after a minute."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    mails_each, times = (2000, 1) if bench.quick else (10_000, 3)
    for processes in (1, 2) * times:
        with sinks_and_house(bench, {"SCAISEND_DELIVERERS": str(processes)}) as (made, receivers):
            run_ours(made, receivers, 1000, 4096, start=next(bench.numbers))
            rates[processes] += [from_queue(bench, made, receivers, mails_each) for _ in range(2)]
            bench.report(f"    {processes} deliverer(s): {[round(rate) for rate in rates[processes][-2:]]}/s")
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
        bench.note(later_claim_p50_ms=median(claims) * 1000, later_claim_p99_ms=p99(claims) * 1000)


# Most are due over the next two days, 40,000 are due now: what a morning after an outage looks like. Those of the future are written in
# the order of their dues: at random, most of the time would go into the pages of 48 indices. A claim reads nothing of them but the edge.
_FILL_LATER = """
WITH filled AS (
    INSERT INTO later (tenant_id, due_at, delivery_id, attempt, why, source, site, job)
    SELECT $1,
           CASE WHEN n <= 40000 THEN now() - n * interval '1 millisecond'
                ELSE now() + (1 + 2880::float8 * n / $2::bigint) * interval '1 minute' END,
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
    "rtt": part_rtt,
    "tenant": part_tenant,
    "neighbour": part_neighbour,
}


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
            recorded = asyncio.run(recorded_events(made))
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
    bench.note(processes={peer: dict(found[-1].usage.processes) for peer, found in runs.items() if found})
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
        received = stack.enter_context(smtp_sink(port))
        stamps = Stamps(port)
        stack.callback(stamps.stop)
        folder.mkdir()
        where, sink, sender = free_port(), f"{SINK}:{port}", SENDER.rpartition("@")[2]
        if name == "postfix":
            peer = stack.enter_context(postfix(folder, where, sink, sender))
        else:
            peer = stack.enter_context(haraka(folder, where, sink, sender, bench.modules or Path()))
        receivers = Receivers(received, stamps)
        run_peer(peer, receivers, 200, size, start=next(bench.numbers))
        return run_peer(peer, receivers, mails_, size, start=next(bench.numbers))
