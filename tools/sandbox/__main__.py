"""`python -m sandbox`: run the small internet until SIGTERM; prints one JSON line when it listens."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
from dataclasses import asdict
from pathlib import Path

import uvloop

from sandbox import scripts, zones
from sandbox.internet import Options, Sandbox


def options() -> Options:
    """Read the command line."""
    defaults = Options()
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description="DNS, MX hosts and an inbox on loopback. Prints a JSON line {dns, smtp_port, inbox_url, pid} when it listens.",
        epilog=f'What a recipient\'s local part does:\n{scripts.__doc__}\nRecords of one file or POST /dns: [{{"name", "type", "value"}}].',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--host",
        default=defaults.host,
        help="where DNS and the inbox listen (default %(default)s); the MX hosts have addresses of their own",
    )
    parser.add_argument("--dns-port", type=int, default=0, help="UDP and TCP; 0 takes a free one (default)")
    parser.add_argument("--smtp-port", type=int, default=0, help="of every MX host; 0 takes a free one (default)")
    parser.add_argument("--http-port", type=int, default=0, help="of the inbox and the control; 0 takes a free one (default)")
    parser.add_argument(
        "--sites",
        type=int,
        choices=range(1, zones.MOST_SITES + 1),
        metavar="N",
        default=defaults.sites,
        help="hosts below sites.test, for load (default %(default)s)",
    )
    parser.add_argument("--postfix-address", default=defaults.postfix_address, help="where postfix.test leads (default %(default)s)")
    parser.add_argument(
        "--bounce", default=defaults.bounce, metavar="HOST:PORT", help="the server that reports of asyncbounce and complain go to"
    )
    parser.add_argument("--records", type=Path, metavar="FILE", help="more DNS records: a JSON list of {name, type, value}")
    parser.add_argument("--receipts", type=Path, metavar="FILE", help="append what every host saw, as JSON lines (receipts.py)")
    parser.add_argument("--keep", type=int, default=defaults.keep, help="mails kept in memory (default %(default)s)")
    return Options(**vars(parser.parse_args()))


async def main(chosen: Options) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Sandbox(chosen) as sandbox:
        print(json.dumps({**asdict(sandbox.places), "pid": os.getpid()}), flush=True)
        await stop.wait()


if __name__ == "__main__":
    uvloop.run(main(options()))
