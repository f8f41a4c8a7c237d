"""The five services as processes, for tests: started, watched, signalled and ended by pid, each with a log of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_bytes
from time import monotonic, sleep
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

T = TypeVar("T")
SERVICES = ("scheduler", "deliverer", "bounce-inbound", "webhook-fanout", "api")
GRACE_SECONDS = 30


def secret() -> str:
    """A key ring with one fresh key."""
    return f"k1:{b64encode(token_bytes(32)).decode()}"


@dataclass
class Process:
    """One running service."""

    service: str
    popen: subprocess.Popen[bytes]
    health_url: str
    log: Path

    def is_running(self) -> bool:
        return self.popen.poll() is None

    def signal(self, number: signal.Signals) -> None:
        if self.is_running():
            os.kill(self.popen.pid, number)

    def stop(self) -> int:
        """SIGTERM, and the exit status; a service that outlives its grace period is a failure."""
        self.signal(signal.SIGTERM)
        return self.popen.wait(GRACE_SECONDS)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.popen.wait(10)

    def lines(self) -> Iterator[dict[str, Any]]:
        """The log so far, line by line; a line that is no JSON is a failure of the service."""
        for line in self.log.read_text().splitlines():
            if line.startswith("{"):
                yield json.loads(line)


@dataclass
class Fleet:
    """Starts services against one set of servers. `servers` gives AMQP_URL, REDIS_URL, LEDGER_URL; `dsn` the DSN of a role."""

    servers: dict[str, str]
    dsn: Callable[[str], str]
    admin_dsn: str
    free_port: Callable[[], int]
    logs: Path
    settings: dict[str, str] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.api_port = self.free_port()
        self.inbound_port = self.free_port()
        self.secrets = {"SCAISEND_KEY_PEPPER": secret(), "SCAISEND_KEK": secret(), "SCAISEND_TOKEN_SECRET": secret()}

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    def environment(self, service: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.logs),
            "SCAISEND_TEST_PLACE": os.environ.get("SCAISEND_TEST_PLACE", ""),  # by this mark a killed run's processes are found and ended
            "PYTHONUNBUFFERED": "1",
            "SCAISEND_ENV": "development",
            "SCAISEND_ALLOW_PRIVATE_DESTINATIONS": "true",
            "SCAISEND_GRACE_SECONDS": str(GRACE_SECONDS - 5),
            "POSTGRES_DSN": self.dsn(service.replace("-", "_")),
            "SCAISEND_API_HOST": "127.0.0.1",
            "SCAISEND_API_PORT": str(self.api_port),
            "SCAISEND_INBOUND_PORT": str(self.inbound_port),
            "SCAISEND_INBOUND_NAME": "mx.scaisend.test",
            "SCAISEND_EHLO_NAME": "out.scaisend.test",
            **self.servers,
            **self.secrets,
            **self.settings,
        }

    def start(self, service: str, **extra: str) -> Process:
        """Start one process and return at once; `ready` waits."""
        port = self.free_port()
        log = self.logs / f"{service}.{len([*self.logs.glob(f'{service}.*.log')])}.log"
        with log.open("ab") as out:
            popen = subprocess.Popen(
                [sys.executable, "-m", f"scaisend_{service.replace('-', '_')}"],
                env=self.environment(service) | {"SCAISEND_HEALTH_PORT": str(port)} | extra,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        process = Process(service, popen, f"http://127.0.0.1:{port}", log)
        self.processes.append(process)
        return process

    def start_all(self, each: int = 1) -> None:
        """Start `each` of every service (one api: a port has one listener) and wait until all are ready."""
        started = [self.start(service) for service in SERVICES for _ in range(1 if service in {"api", "bounce-inbound"} else each)]
        for process in started:
            self.ready(process)

    def ready(self, process: Process, seconds: float = 30) -> None:
        """Wait until /ready says 200."""
        deadline = monotonic() + seconds
        while monotonic() < deadline:
            if not process.is_running():
                raise AssertionError(f"{process.service} ended with {process.popen.returncode}:\n{process.log.read_text()[-4000:]}")
            try:
                with urlopen(f"{process.health_url}/ready", timeout=2) as answer:
                    if answer.status == 200:
                        return
            except (URLError, OSError):
                pass
            sleep(0.05)
        raise AssertionError(f"{process.service} was not ready in {seconds} s:\n{process.log.read_text()[-4000:]}")

    @contextmanager
    def beside(self, service: str, **extra: str) -> Iterator[Process]:
        """One more process of a service for the length of a block, with settings of its own; an api on a port of its own."""
        process = self.start(service, **({"SCAISEND_API_PORT": str(self.free_port())} | extra))
        try:
            self.ready(process)
            yield process
        finally:
            process.signal(signal.SIGTERM)
            process.popen.wait(GRACE_SECONDS)
            self.processes.remove(process)

    def of(self, service: str) -> list[Process]:
        """The running processes of a service."""
        return [process for process in self.processes if process.service == service and process.is_running()]

    def end(self) -> None:
        """Stop everything that was started: politely, then not."""
        for process in self.processes:
            process.signal(signal.SIGCONT)
            process.signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.popen.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()

    def scaisend(self, *arguments: str) -> Any:
        """Run the command line with --json; return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "scaisend_common.cli", "--json", *arguments],
            env=self.environment("api") | {"POSTGRES_DSN": self.admin_dsn},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"scaisend {' '.join(arguments)}: {done.stderr}{done.stdout}"
        return json.loads(done.stdout) if done.stdout.strip() else None


@contextmanager
def running(fleet: Fleet, each: int = 1) -> Iterator[Fleet]:
    """The whole fleet for the length of a block."""
    try:
        fleet.start_all(each)
        yield fleet
    finally:
        fleet.end()


def call(
    method: str, url: str, body: Any = None, key: str = "", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """One HTTP request with the standard library: no client of ours judges the service. Returns status, headers (lower case), body."""
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    request = Request(url, data=data, method=method, headers={"Content-Type": "application/json"} | (headers or {}))
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urlopen(request, timeout=60) as answer:
            return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
    except HTTPError as error:
        return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()


async def eventually(look: Callable[[], T | None], *, within: float, why: str) -> T:
    """Return what `look` returns as soon as it is true; fail after `within` seconds."""
    deadline = monotonic() + within
    while True:
        found = await asyncio.to_thread(look)
        if found:
            return found
        assert monotonic() < deadline, f"{why}: not within {within} s"
        await asyncio.sleep(0.1)
