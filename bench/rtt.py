"""The part with distance: how long a mail takes on a connection whose round trip is 100 ms."""

from __future__ import annotations

import asyncio
import socket
from itertools import islice, pairwise
from statistics import fmean, median
from time import perf_counter, sleep

from bench.house import SENDER, House
from bench.load import http_request
from bench.mails import mails
from bench.measure import Receivers, everybody
from bench.runs import Bench, metered
from bench.scenes import send_all, sinks_and_house
from bench.sinks import STAMP, listening

FAR = "127.0.10.11"
ONE_WAY = 0.05
QUEUED = 20  # mails that wait for the connection: always a next one, and never so long that the path counts as slow


def part_rtt(bench: Bench) -> None:
    """rtt100_ms_per_mail: one connection over a round trip of 100 ms, always a next mail."""
    count = 80 if bench.quick else 400
    with sinks_and_house(bench, {"SCAISEND_CONNECTIONS_PER_PATH": "1"}) as (made, receivers):
        proxy = listening("bench.delay", FAR, made.sink_port, STAMP, ONE_WAY)
        try:
            made.publish(
                [{"name": "mx.far.test", "type": "A", "value": FAR}, {"name": "away.test", "type": "MX", "value": "10 mx.far.test"}]
            )
            bench.note(rtt100_measured_ms=_round_trip(made.sink_port) * 1000)
            groups = everybody(made, receivers) | {"proxy": [proxy.pid]}
            runs = bench.several("distance", lambda: metered(groups, lambda: _ends(bench, made, receivers, count)))
        finally:
            proxy.terminate()
            proxy.wait(10)
    # The first mails also open the connection; a new one every 100 mails is what the mean counts and the median does not.
    gaps = [[later - earlier for earlier, later in pairwise(each.value[10:])] for each in runs]
    bench.note_medians(
        rtt100_ms_per_mail=[median(each) * 1000 for each in gaps], rtt100_mean_ms_per_mail=[fmean(each) * 1000 for each in gaps]
    )
    bench.note(rtt100_mails=sum(map(len, gaps)))


def _ends(bench: Bench, made: House, receivers: Receivers, count: int) -> list[float]:
    """When each mail ended, in order. Mails are sent as they are delivered, so that QUEUED wait."""
    prepared = (
        http_request("bench", made.api_key, mail.request({"personalizations": [{"to": [{"email": f"ok+{mail.number}@away.test"}]}]}))
        for mail in mails(SENDER, start=next(bench.numbers))
    )
    receivers.reset()
    sent, told_at = 0, perf_counter()
    while (taken := int(receivers.stamps.ask("count")["count"])) < count:
        if sent - taken < QUEUED:
            batch = list(islice(prepared, QUEUED - (sent - taken)))
            asyncio.run(send_all(made, batch, connections=4))
            sent += len(batch)
        if perf_counter() - told_at > 15:
            told_at = perf_counter()
            bench.report(f"    {taken} of {count} mails")
        sleep(0.05)
    return sorted(receivers.stamps.ask("dump")["end_at"].values())


def _round_trip(port: int) -> float:
    """The median of ten questions to the sink through the proxy: what the distance really is."""
    with socket.create_connection((FAR, port), timeout=5) as connection:
        connection.recv(1000)
        times = []
        for _ in range(10):
            begun = perf_counter()
            connection.sendall(b"NOOP\r\n")
            connection.recv(1000)
            times.append(perf_counter() - begun)
    return median(times)
