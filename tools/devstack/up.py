"""`make up`: servers, schema, topology, a demo tenant, the sandbox, the five services. Whatever stands already is left as it is."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from time import monotonic, sleep
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from devstack import databases, servers
from devstack.packages import Report
from devstack.process import names, pid_of, spawn, stop, told
from devstack.programs import CannotStart
from devstack.seed import scaisend, seed, verify
from devstack.settings import choices, environment, health_ports, numbers, part_of, server_urls, servers_wanted, variables, write_private
from scaisend_common import __version__, schema

READY_SECONDS = 60


def bring_up(place: Path, report: Report) -> None:
    """Bring everything up; return when every service says that it is ready. Raises CannotStart, CannotFetch, CommandFailed."""
    if wanted := servers_wanted(place):
        servers.start(place, durable=True, report=report, only=wanted)
    at = server_urls(place)
    if databases.ensure(at.postgres_dsn):
        report("made the database")
    release = _release(at)
    prepared = place / "prepared"
    if not prepared.exists() or prepared.read_text() != release:
        report("migrating the schema")
        scaisend(place, "migrate")
        report("declaring exchanges and queues (new ones settle for some seconds)")
        scaisend(place, "declare")
        prepared.write_text(release)
    key = seed(place, at.postgres_dsn, report)
    _start_sandbox(place, report)
    verify(place, report)
    _start_services(place, report)
    write_private(place / "env", variables(place, key))


def bring_down(place: Path, report: Report) -> None:
    """End every process of ours: services first, all at once, so that nothing they hold is in doubt; then the servers."""
    known = names(place)
    services = [name for name in known if "." in name]
    for name in services:
        if pid := pid_of(place, name):
            report(f"stopping {name} (pid {pid})")
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
    for name in services:
        stop(place, name, grace=35)
    stop(place, "sandbox", grace=10)
    if any(name in known for name in servers.ORDER):
        report("stopping the servers")
    servers.stop_all(place)


def is_ready(url: str) -> tuple[bool, str]:
    """Ask once; return whether the answer was 200, and what it said otherwise."""
    try:
        with urlopen(url, timeout=2):
            return True, ""
    except HTTPError as error:
        return False, error.read(2000).decode(errors="replace")
    except (URLError, OSError) as error:
        return False, str(error)


def _release(at: servers.Servers) -> str:
    """A mark that changes when there is something to migrate or to declare: another release, other settings, other servers."""
    package = Path(next(iter(schema.__path__)))
    files = [file.name for file in sorted(package.glob("*.sql"))]
    shape = [
        (package.parent / "topology.py").read_text(),
        *(os.environ.get(f"SCAISEND_{n}", "") for n in ("SHARDS", "SUBMIT_LANES", "EVENT_LANES")),
    ]
    return sha256(json.dumps([__version__, files, shape, at.postgres_dsn, at.amqp_url]).encode()).hexdigest()


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
    wanted = numbers()
    for service, ports in health_ports(place).items():
        for n, port in enumerate(ports, 1):
            name = f"{service}.{n}"
            env = part_of(service, n, len(ports)) | environment(place, service) | {"SCAISEND_HEALTH_PORT": str(port)}
            if pid_of(place, name) and told(place, name, "SCAISEND_ROLES") != env.get("SCAISEND_ROLES"):
                report(f"stopping {name}, which has another part now")
                stop(place, name)
            if not pid_of(place, name):
                report(f"starting {name}")
                spawn([sys.executable, "-m", f"scaisend_{service.replace('-', '_')}"], place=place, name=name, env=env)
            waiting.append((name, f"http://127.0.0.1:{port}/ready"))
        for old in names(place):
            of, _, number = old.rpartition(".")
            if of == service and int(number) > wanted[service]:
                report(f"stopping {old}")
                stop(place, old)
    for name, url in waiting:
        _await(place, name, url)


def _await(place: Path, name: str, url: str) -> None:
    deadline = monotonic() + READY_SECONDS
    said = ""
    while monotonic() < deadline:
        if not pid_of(place, name):
            raise CannotStart(f"{name} ended:\n{tail(place, name)}")
        ready, said = is_ready(url)
        if ready:
            return
        sleep(0.05)
    raise CannotStart(f"{name} was not ready within {READY_SECONDS} s: {said}\n{tail(place, name)}")


def tail(place: Path, name: str, size: int = 3000) -> str:
    """The end of a process's log."""
    try:
        return (place / "log" / f"{name}.log").read_text(errors="replace")[-size:]
    except OSError:
        return ""
