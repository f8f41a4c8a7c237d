"""`make up`: servers, schema, topology, a demo tenant, the sandbox, the five services. Whatever stands already is left as it is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from devstack import databases, servers
from devstack.process import pid_of, spawn, stop
from devstack.settings import (
    DEMO_DOMAIN,
    INBOUND_NAME,
    choices,
    environment,
    health_ports,
    numbers,
    server_urls,
    servers_wanted,
    variables,
    write_private,
)
from scaisend_common import __version__, schema

Report = Callable[[str], None]
READY_SECONDS = 60


class CannotBringUp(Exception):
    """A step failed; the text says which and shows the end of its log."""


def bring_up(place: Path, report: Report) -> None:
    """Bring everything up; return when every service says that it is ready."""
    if wanted := servers_wanted():
        servers.start(place, durable=True, report=report, only=wanted)
    admin = server_urls(place).postgres_dsn
    if databases.create(admin, admin.rpartition("/")[2]):
        report("made the database")
    release = _release()
    if not (place / "prepared").exists() or (place / "prepared").read_text() != release:
        report("migrating the schema")
        scaisend(place, "migrate")
        report("declaring exchanges and queues (new ones settle for some seconds)")
        scaisend(place, "declare")
        (place / "prepared").write_text(release)
    key = _seed(place, report)
    _start_sandbox(place, report)
    _verify_domain(place, report)
    _start_services(place, report)
    write_private(place / "env", variables(place, key))


def scaisend(place: Path, *arguments: str) -> Any:
    """Run the command line as the administrator; return its JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "scaisend_common.cli", "--json", *arguments],
        env=environment(place),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CannotBringUp(f"scaisend {' '.join(arguments)}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return json.loads(done.stdout) if done.stdout.strip() else None


def bring_down(place: Path, report: Report) -> None:
    """End every process of ours: services first, so that nothing they hold is in doubt."""
    names = [path.name for path in sorted((place / "pid").glob("*"))]
    services = [name for name in names if "." in name]
    for name in services:
        if pid := pid_of(place, name):
            report(f"stopping {name} (pid {pid})")
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
    for name in services:
        stop(place, name, grace=35)
    stop(place, "sandbox", grace=10)
    if any(name in names for name in servers.ORDER):
        report("stopping the servers")
    servers.stop_all(place)


def _release() -> str:
    files = sorted(Path(next(iter(schema.__path__))).glob("*.sql"))
    topology = Path(next(iter(schema.__path__))).parent / "topology.py"
    return json.dumps([__version__, [file.name for file in files], topology.read_text()])


def _seed(place: Path, report: Report) -> str:
    """Make the demo partner, tenant, domain and key; return the key, which is shown once and so kept here."""
    path = place / "demo.json"
    if path.exists():
        return str(json.loads(path.read_text())["api_key"])
    report("making the demo tenant")
    scaisend(place, "partner", "create", "demo", "--if-missing")
    scaisend(place, "tenant", "create", "demo", "--partner", "demo", "--if-missing")
    scaisend(place, "domain", "create", "demo", DEMO_DOMAIN, "--if-missing")
    made = scaisend(place, "key", "create", "demo", "--name", "demo")
    records = scaisend(place, "domain", "dns", "demo", DEMO_DOMAIN)
    published = [{"name": each["name"], "type": each["type"], "value": each["value"]} for each in records]
    (place / "records.json").write_text(json.dumps([*published, {"name": INBOUND_NAME, "type": "A", "value": "127.0.0.1"}]))
    write_private(path, json.dumps({"api_key": made["api_key"]}))
    return str(made["api_key"])


def _verify_domain(place: Path, report: Report) -> None:
    if not (place / "verified").exists():
        report(f"verifying {DEMO_DOMAIN} by its DNS records")
        scaisend(place, "domain", "verify", "demo", DEMO_DOMAIN)
        (place / "verified").touch()


def _start_sandbox(place: Path, report: Report) -> None:
    if pid_of(place, "sandbox"):
        return
    report("starting the sandbox (DNS, MX hosts, inbox)")
    chosen = choices(place)
    argv = [sys.executable, "-m", "sandbox", "--dns-port", chosen.dns, "--smtp-port", chosen.smtp, "--http-port", chosen.inbox]
    argv += ["--bounce", f"127.0.0.1:{chosen.inbound}", "--records", place / "records.json"]
    spawn([str(word) for word in argv], place=place, name="sandbox", env=environment(place))
    _await(place, "sandbox", f"http://127.0.0.1:{chosen.inbox}/messages?to=nobody@tls.test")


def _start_services(place: Path, report: Report) -> None:
    waiting: list[tuple[str, str]] = []
    running = numbers()
    for service, ports in health_ports(place).items():
        for n, port in enumerate(ports, 1):
            name = f"{service}.{n}"
            if not pid_of(place, name):
                report(f"starting {name}")
                env = environment(place, service) | {"SCAISEND_HEALTH_PORT": str(port)}
                spawn([sys.executable, "-m", f"scaisend_{service.replace('-', '_')}"], place=place, name=name, env=env)
            waiting.append((name, f"http://127.0.0.1:{port}/ready"))
        for old in sorted((place / "pid").glob(f"{service}.*")):
            if int(old.name.rpartition(".")[2]) > running[service]:
                stop(place, old.name)
    for name, url in waiting:
        _await(place, name, url)


def _await(place: Path, name: str, url: str) -> None:
    deadline = monotonic() + READY_SECONDS
    said = ""
    while monotonic() < deadline:
        if not pid_of(place, name):
            raise CannotBringUp(f"{name} ended:\n{tail(place, name)}")
        try:
            with urlopen(Request(url), timeout=2):
                return
        except HTTPError as error:
            said = error.read(2000).decode(errors="replace")
        except (URLError, OSError):
            pass
        sleep(0.05)
    raise CannotBringUp(f"{name} was not ready within {READY_SECONDS} s: {said}\n{tail(place, name)}")


def tail(place: Path, name: str, size: int = 3000) -> str:
    """The end of a process's log."""
    try:
        return (place / "log" / f"{name}.log").read_text(errors="replace")[-size:]
    except OSError:
        return ""
