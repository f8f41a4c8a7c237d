"""`python -m devstack up|down|clean|status|logs|demo`: the development stack of this checkout (make calls it)."""

from __future__ import annotations

import argparse
import fcntl
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from time import monotonic

from devstack.demo import NotSeen, demo
from devstack.packages import CannotFetch, Report
from devstack.place import CHECKOUT, place_of
from devstack.process import names, pid_of
from devstack.programs import CannotStart
from devstack.seed import CommandFailed
from devstack.settings import health_urls, read_variables
from devstack.up import bring_down, bring_up, is_ready


def main() -> int:
    """Run one command; 0 when it was done."""
    parser = argparse.ArgumentParser(prog="python -m devstack", description=__doc__)
    parser.add_argument("command", choices=["up", "down", "clean", "status", "logs", "demo"])
    command = parser.parse_args().command
    begun = monotonic()

    def report(text: str) -> None:
        sys.stdout.write(f"[{monotonic() - begun:5.1f} s] {text}\n")
        sys.stdout.flush()

    try:
        _run(command, place_of(), report)
    except (CannotStart, CannotFetch, CommandFailed, NotSeen, PermissionError) as error:
        sys.stderr.write(f"\n{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted; make down ends what was started\n")
        return 130
    return 0


def _run(command: str, place: Path, report: Report) -> None:
    match command:
        case "up":
            with _alone(place, report):
                bring_up(place, report)
            report("everything is up")
            sys.stdout.write(_what_now(read_variables(place)))
        case "down":
            with _alone(place, report):
                bring_down(place, report)
            report("everything is down; the data stays (make clean removes it)")
        case "clean":
            with _alone(place, report):
                bring_down(place, report)
                shutil.rmtree(place, ignore_errors=True)
            if (CHECKOUT / ".run").is_symlink():
                (CHECKOUT / ".run").unlink()
            report("everything is down and its data removed")
        case "status":
            sys.stdout.write(_status(place))
        case "logs":
            _follow(place)
        case "demo":
            demo(read_variables(place), report)


@contextmanager
def _alone(place: Path, report: Report) -> Iterator[None]:
    """One `up`, `down` or `clean` of a checkout at a time."""
    with (place / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting for another make up or make down of this checkout")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _what_now(env: dict[str, str]) -> str:
    mail = {
        "personalizations": [{"to": [{"email": env["SCAISEND_DEMO_TO"]}]}],
        "from": {"email": env["SCAISEND_DEMO_FROM"]},
        "subject": "Hello",
        "content": [{"type": "text/plain", "value": "Hello from ScaiSend"}],
    }
    headers = (f"Authorization: Bearer {env['SCAISEND_API_KEY']}", "Content-Type: application/json")
    curl = (
        f"curl -i {env['SCAISEND_API_URL']}/v3/mail/send {' '.join(f'-H {quote(each)}' for each in headers)} -d {quote(json.dumps(mail))}"
    )
    return (
        f"\nScaiSend is up: API {env['SCAISEND_API_URL']}, inbox {env['SCAISEND_INBOX_URL']}; all else is in .run/env.\n"
        f"\nSend a mail:\n\n{curl}\n\nSee it: {env['SCAISEND_INBOX_URL']}   (make demo does both)\n"
    )


def _status(place: Path) -> str:
    """A line for each process that was started: whether it runs, and for a service whether it can do its work."""
    ready = {f"{service}.{n}": f"{url}/ready" for service, found in health_urls(place).items() for n, url in enumerate(found, 1)}
    lines = []
    for name in names(place):
        pid = pid_of(place, name)
        state = f"running, pid {pid}" if pid else "not running"
        if pid and name in ready:
            answer, said = is_ready(ready[name])
            state += ", ready" if answer else f", not ready: {said}"
        lines.append(f"{name:<18} {state}\n")
    return "".join(lines) or "nothing runs\n"


def _follow(place: Path) -> None:
    if logs := sorted(str(path) for path in (place / "log").glob("*.log")):
        subprocess.run(["tail", "-n", "20", "-F", *logs], check=False)
    else:
        sys.stdout.write("no logs yet\n")


if __name__ == "__main__":
    sys.exit(main())
