"""How many mails one running api accepts, confirmed by the broker, and how fast: `python -m bench.api_accept --env .run/env`.

Closed loop over keep-alive connections, 4 KB of text and HTML a mail. `--thousand` times requests of 1,000 personalizations instead.
"""

from __future__ import annotations

import argparse
import json
import os
from itertools import cycle, islice
from pathlib import Path
from statistics import quantiles
from time import perf_counter
from urllib.parse import urlsplit

import uvloop

from bench.load import HttpLoad, http_request
from bench.mails import mails

TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", type=Path, default=Path(".run/env"), help="as `make up` writes it")
    parser.add_argument("--pid", type=int, help="of the api, for its CPU")
    parser.add_argument("--mails", type=int, default=20_000)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rate", type=float, help="open loop at so many a second")
    parser.add_argument("--thousand", action="store_true")
    uvloop.run(run(parser.parse_args()))


async def run(arguments: argparse.Namespace) -> None:
    env = dict(line.split("=", 1) for line in arguments.env.read_text().splitlines() if "=" in line)
    url = urlsplit(env["SCAISEND_API_URL"].strip("'\""))
    key, sender = (env[name].strip("'\"") for name in ("SCAISEND_API_KEY", "SCAISEND_DEMO_FROM"))
    host, port = url.hostname or "127.0.0.1", url.port or 80
    if arguments.thousand:
        people = [{"to": [{"email": f"ok+{n}@d{n % 50}.bench.test"}], "substitutions": {"-n-": str(n)}} for n in range(1000)]
        bodies = [next(mails(sender)).request({"personalizations": people})]
    else:
        bodies = [mail.request() for mail in islice(mails(sender), 2000)]
    requests = islice(cycle([http_request(host, key, body) for body in bodies]), arguments.mails)
    cpu, begun = _cpu(arguments.pid), perf_counter()
    async with HttpLoad(host, port, arguments.connections) as load:
        answers = await (load.open(requests, arguments.rate) if arguments.rate else load.closed(requests))
    seconds = perf_counter() - begun
    cuts = quantiles(answers.seconds, n=100) if len(answers.seconds) > 1 else answers.seconds * 99
    print(
        json.dumps(
            {
                "accepted_per_s": round(answers.accepted / seconds, 1),
                "by_status": answers.by_status,
                "p50_ms": round(cuts[49] * 1000, 2),
                "p99_ms": round(cuts[98] * 1000, 2),
                "api_cpu_us_per_request": round((_cpu(arguments.pid) - cpu) / arguments.mails * 1e6, 1),
            }
        )
    )


def _cpu(pid: int | None) -> float:
    """Seconds of CPU that a process has used."""
    if not pid:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


if __name__ == "__main__":
    main()
