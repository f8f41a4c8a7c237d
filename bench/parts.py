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

from bench.house import SENDER, House, free_port
from bench.load import http_request
from bench.mails import mails
from bench.measure import Receivers, Run, everybody, own_cpu, requests, run_ours, run_peer
from bench.neighbours import part_neighbour, part_tenant
from bench.peers import haraka, missing, postfix
from bench.rtt import part_rtt
from bench.runs import Bench, Taken, metered
from bench.scenes import (
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
    _beside_peers(bench, "line", 4096, ours=4000 if bench.quick else 15_000, theirs=1000 if bench.quick else 3000)


def part_large(bench: Bench) -> None:
    """ratio_postfix_50kb: the same with mails of 50 KB."""
    _beside_peers(bench, "large", 50_000, ours=1000 if bench.quick else 4000, theirs=500 if bench.quick else 1500)


def part_latency(bench: Bench) -> None:
    """first_attempt_p50_ms and _p99_ms at half of delivered_per_s, accept_p99_ms at 200 requests a second."""
    half = float(str(bench.keys.get("delivered_per_s", 1000))) / 2
    seconds, asked = (15, 10) if bench.quick else (60, 20)
    with sinks_and_house(bench) as (made, receivers):
        run_ours(made, receivers, 500, 4096, start=next(bench.numbers))
        groups = everybody(made, receivers)
        attempts = bench.several("first attempts", lambda: metered(groups, lambda: open_loop(bench, made, receivers, half, seconds)))
        bench.latencies["first attempt"] = [wait for each in attempts for wait in each.value]
        bench.note_medians(
            first_attempt_p50_ms=[median(each.value) * 1000 for each in attempts],
            first_attempt_p99_ms=[p99(each.value) * 1000 for each in attempts],
        )
        bench.note(first_attempt_rate=half)
        sleep(2)
        answers = bench.several("answers", lambda: metered(groups, lambda: accept_latencies(made, 200, asked, next(bench.numbers))))
        bench.note_medians(accept_p99_ms=[p99(each.value) * 1000 for each in answers])


def part_accept(bench: Bench) -> None:
    """accept_alone_per_s: one API process, everything that reads the queues stopped; thousand_accept_ms."""
    with sinks_and_house(bench) as (made, receivers):
        groups = everybody(made, receivers)
        times = bench.several("thousand", lambda: metered(groups, lambda: thousand(made, receivers, next(bench.numbers))))
        bench.note_medians(
            thousand_accept_ms=[each.value[0] * 1000 for each in times], thousand_delivered_s=[each.value[1] for each in times]
        )
        for service in ("scheduler", "deliverer", "webhook-fanout", "bounce-inbound"):
            signal_all(made, service, "STOP")
        alone = bench.several("accept alone", lambda: metered(groups, lambda: _accepted_per_s(bench, made)))
        bench.note_medians(accept_alone_per_s=[each.value for each in alone])
        for service in ("scheduler", "deliverer", "webhook-fanout", "bounce-inbound"):
            signal_all(made, service, "CONT")


def _accepted_per_s(bench: Bench, made: House) -> float:
    return asyncio.run(send_all(made, requests(made, 3000 if bench.quick else 10_000, 4096, start=next(bench.numbers))))


def part_idle(bench: Bench) -> None:
    """idle_core_percent: the five services doing nothing for 60 s."""
    with sinks_and_house(bench) as (made, receivers):
        run_ours(made, receivers, 500, 4096, start=next(bench.numbers))
        sleep(5)
        groups = everybody(made, receivers)
        found = bench.several("idle", lambda: metered(groups, lambda: sleep(20 if bench.quick else 60)))
        services = [percent({name: each.usage.cpu[name] for name in SERVICES}, each.usage.wall) for each in found]
        bench.note_medians(idle_core_percent=[sum(each.values()) for each in services])
        bench.note(idle_core_percent_by_process={name: median(each[name] for each in services) for name in SERVICES})


def part_memory(bench: Bench) -> None:
    """rss_200k_mb_by_service: 200,000 mails queued; attachment_growth_mb with one attachment of 22,000,000 bytes; a house for each run."""
    found = bench.several("memory", lambda: _memory(bench))
    bench.note_medians(attachment_growth_mb=[max(growth.values()) for growth, _ in (each.value for each in found)])
    bench.note(
        attachment_growth_by_service=_median_by_service([each.value[0] for each in found]),
        rss_200k_mb_by_service=_median_by_service([each.value[1] for each in found]),
        rss_200k_mb_runs=[max(sizes.values()) for _, sizes in (each.value for each in found)],
    )


def _memory(bench: Bench) -> Taken[tuple[dict[str, float], dict[str, float]]]:
    """Megabytes by service: what it grew by with an attachment, and its size with many mails queued."""
    with sinks_and_house(bench) as (made, receivers):
        run_ours(made, receivers, 500, 4096, start=next(bench.numbers))
        return metered(everybody(made, receivers), lambda: (_growth(bench, made, receivers), _queued(bench, made)))


def _growth(bench: Bench, made: House, receivers: Receivers) -> dict[str, float]:
    content = b64encode(Random(1).randbytes(22_000_000)).decode()
    body = {"filename": "data.bin", "type": "application/octet-stream", "content": content}
    mail = next(mails(SENDER, 500, start=next(bench.numbers)))
    request = http_request("bench", made.api_key, mail.request({"attachments": [body]}))
    before = rss(made)
    receivers.reset()
    peak = peak_rss(made, lambda: asyncio.run(send_all(made, [request])), receivers)
    return {name: peak[name] - before[name] for name in before}


def _queued(bench: Bench, made: House) -> dict[str, float]:
    """The largest sizes from when all is queued until deliverers, stopped before, have worked on it for ten seconds."""
    signal_all(made, "deliverer", "STOP")
    for _ in range(2 if bench.quick else 20):
        asyncio.run(send_all(made, requests(made, 10_000, 4096, start=next(bench.numbers))))
        bench.report(f"    queued 10,000 more; {rss(made)}")
    sleep(5)
    sizes = rss(made)
    signal_all(made, "deliverer", "CONT")
    for _ in range(20):
        sleep(0.5)
        sizes = {name: max(size, sizes[name]) for name, size in rss(made).items()}
    bench.report(f"    delivering; {sizes}")
    return sizes


def _median_by_service(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(median(each[name] for each in runs), 1) for name in runs[0]}


def part_scale(bench: Bench) -> None:
    """deliverer_scale_2: jobs queued beforehand, two deliverer processes against one, in turn: the host is another after a minute."""
    rates: dict[int, list[float]] = {1: [], 2: []}
    mails_each = 2000 if bench.quick else 10_000
    for processes in (1, 2) * bench.times:
        with sinks_and_house(bench, {"SCAISEND_DELIVERERS": str(processes)}) as (made, receivers):
            run_ours(made, receivers, 1000, 4096, start=next(bench.numbers))
            groups = everybody(made, receivers)
            for _ in range(2):
                run = bench.quietly("scale", lambda: metered(groups, lambda: from_queue(bench, made, receivers, mails_each)))  # noqa: B023 - at once
                rates[processes].append(run.value)
            bench.report(f"    {processes} deliverer(s): {[round(rate) for rate in rates[processes][-2:]]}/s")
    bench.note_medians(deliverer_1_per_s=rates[1], deliverer_2_per_s=rates[2])
    bench.note(deliverer_scale_2=median(rates[2]) / median(rates[1]))


def part_later(bench: Bench) -> None:
    """later_claim_p99_ms: claims of 200 due rows among 10 million that wait."""
    rows = 200_000 if bench.quick else 10_000_000
    with sinks_and_house(bench, {"SCAISEND_ROLES": "route,record,upkeep"}) as (made, receivers):
        tenant = asyncio.run(made.ask("SELECT id FROM tenants LIMIT 1"))
        bench.report(f"    writing {rows:,} rows")
        asyncio.run(made.ask(_FILL_LATER, tenant, rows))
        asyncio.run(made.ask("ANALYZE later"))
        groups = everybody(made, receivers)
        claims = bench.several("claims", lambda: metered(groups, lambda: asyncio.run(made.claim_each(200, 100))))
        bench.note_medians(
            later_claim_p50_ms=[median(each.value) * 1000 for each in claims],
            later_claim_p99_ms=[p99(each.value) * 1000 for each in claims],
        )


# Most are due over the next two days, 400,000 are due now, more than three runs claim of which each is taken five times: what a morning
# after an outage looks like. Those of the future are written in the order of their dues: at random, most of the time would go into the
# pages of 48 indices. A claim reads nothing of them but the edge.
_FILL_LATER = """
WITH filled AS (
    INSERT INTO later (tenant_id, due_at, delivery_id, attempt, why, source, site, job)
    SELECT $1,
           CASE WHEN n <= 400000 THEN now() - n * interval '1 millisecond'
                ELSE now() + (1 + 2880::float8 * n / $2::bigint) * interval '1 minute' END,
           'AaIKSPJDe3CyoxMxMhTYZQ.' || n || '.0', 1, 'retry', 'default', 'site' || n % 500, decode(repeat('00', 300), 'hex')
    FROM generate_series(1, $2::bigint) AS n
    RETURNING 1
)
SELECT count(*) FROM filled
"""


SERVICES = ("api", "scheduler", "deliverer", "bounce-inbound", "webhook-fanout")

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


def _beside_peers(bench: Bench, name: str, size: int, *, ours: int, theirs: int) -> None:
    runs: dict[str, list[Run]] = {"scaisend": [], "postfix": [], "haraka": []}
    peers = ["postfix"] if not missing("postfix", "opendkim") else []
    peers += ["haraka"] if bench.modules and not missing("node") else []
    for round_ in range(bench.times):
        with sinks_and_house(bench) as (made, receivers):
            run_ours(made, receivers, 1000, size, start=next(bench.numbers))
            run = bench.quietly("scaisend", lambda: run_ours(made, receivers, ours, size, start=next(bench.numbers)))
            _keep(bench, runs, "scaisend", run, name)
            bench.report(f"    DKIM of dumped mails: {verified(run.kept, made.dkim_records())} verify")
            recorded = asyncio.run(recorded_events(made))
            bench.report(
                f"    round {round_ + 1}: scaisend {run.rate:.0f}/s, {run.delivered} of {run.mails}, {recorded} events recorded so far"
            )
        for peer_name in peers:
            run = bench.quietly(peer_name, lambda: _one_peer(bench, peer_name, theirs, size))  # noqa: B023 - at once
            _keep(bench, runs, peer_name, run, name)
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
    bench.note(dkim_verified=sum(len(run.kept) for run in runs["scaisend"]))
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


def _keep(bench: Bench, runs: dict[str, list[Run]], who: str, run: Run, part: str) -> None:
    runs[who].append(run)
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
