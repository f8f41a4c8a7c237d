"""`python -m devstack up|down|clean|status|logs|demo`: the development stack of this checkout (make calls it)."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from time import monotonic

from devstack.demo import demo
from devstack.packages import CannotFetch
from devstack.place import CHECKOUT, place_of
from devstack.process import names, pid_of
from devstack.servers import CannotStart
from devstack.up import CannotBringUp, bring_down, bring_up


def main() -> int:
    """Run one command; 0 when it was done."""
    parser = argparse.ArgumentParser(prog="python -m devstack", description=__doc__)
    parser.add_argument("command", choices=["up", "down", "clean", "status", "logs", "demo"])
    command = parser.parse_args().command
    place = place_of()
    begun = monotonic()

    def report(text: str) -> None:
        sys.stdout.write(f"[{monotonic() - begun:5.1f} s] {text}\n")
        sys.stdout.flush()

    try:
        match command:
            case "up":
                bring_up(place, report)
                _say_where(place)
            case "down":
                bring_down(place, report)
            case "clean":
                bring_down(place, report)
                shutil.rmtree(place, ignore_errors=True)
                (CHECKOUT / ".run").unlink(missing_ok=True) if (CHECKOUT / ".run").is_symlink() else None
            case "status":
                return _status(place)
            case "logs":
                return _logs(place)
            case "demo":
                return demo(place, report)
    except (CannotStart, CannotFetch, CannotBringUp) as error:
        sys.stderr.write(f"\n{error}\n")
        return 1
    return 0


def environment_of(place: Path) -> dict[str, str]:
    """What `.run/env` says."""
    return dict(line.split("=", 1) for line in (place / "env").read_text().splitlines() if "=" in line)


def _say_where(place: Path) -> None:
    env = environment_of(place)
    mail = {
        "personalizations": [{"to": [{"email": env["SCAISEND_DEMO_TO"]}]}],
        "from": {"email": env["SCAISEND_DEMO_FROM"]},
        "subject": "Hello",
        "content": [{"type": "text/plain", "value": "Hello from ScaiSend"}],
    }
    curl = (
        f"curl -i {env['SCAISEND_API_URL']}/v3/mail/send -H 'Authorization: Bearer {env['SCAISEND_API_KEY']}' "
        f"-H 'Content-Type: application/json' -d '{json.dumps(mail)}'"
    )
    sys.stdout.write(
        f"\nScaiSend is up: API {env['SCAISEND_API_URL']}, inbox {env['SCAISEND_INBOX_URL']}; all else is in .run/env.\n"
        f"\nSend a mail:\n\n{curl}\n\nSee it: {env['SCAISEND_INBOX_URL']}   (make demo does both)\n"
    )


def _status(place: Path) -> int:
    known = names(place)
    for name in known:
        pid = pid_of(place, name)
        sys.stdout.write(f"{name:<18} {'running, pid ' + str(pid) if pid else 'not running'}\n")
    if not known:
        sys.stdout.write("nothing runs\n")
    return 0 if known and all(pid_of(place, name) for name in known) else 3


def _logs(place: Path) -> int:
    logs = sorted(str(path) for path in (place / "log").glob("*.log"))
    if not logs:
        sys.stdout.write("no logs yet\n")
        return 0
    try:
        return subprocess.run(["tail", "-n", "20", "-F", *logs], check=False).returncode
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
