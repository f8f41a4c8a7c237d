"""Real servers for the tests: one RabbitMQ, Postgres, Redis and ledger a run, shared by its workers; a vhost, a database and Redis
indexes for each worker. Nothing of `make up` is touched, nothing is left behind, even after a kill (devstack.watchdog).
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import redis
from hypothesis import HealthCheck, settings

from devstack import databases, servers
from devstack.servers import Servers
from scaisend_common.plumbing.amqp.declare import declare
from scaisend_common.schema.migrate import migrate
from scaisend_common.topology import EXCHANGES, Topology

# A busy machine is no finding: properties are judged by what they find, not by how long they take.
settings.register_profile("scaisend", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("scaisend")

TEMPLATE = "template_scaisend"
TOOLS = str(Path(__file__).parents[1] / "tools")


@dataclass(frozen=True)
class Shared:
    """The run's servers and where they live."""

    place: Path
    urls: Servers


def pytest_configure(config: pytest.Config) -> None:
    """The first process of the run names the place; its workers inherit the name."""
    if not hasattr(config, "workerinput"):
        os.environ["SCAISEND_TEST_PLACE"] = f"/var/tmp/scaisend-tests-{uuid4().hex[:12]}"
        os.environ["SCAISEND_TEST_OWNER"] = str(os.getpid())


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the servers with the run; the watchdog does it where this does not come to pass."""
    place = Path(os.environ["SCAISEND_TEST_PLACE"])
    if not hasattr(config, "workerinput") and place.exists():
        servers.stop_all(place, hastily=True)
        shutil.rmtree(place, ignore_errors=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
    """With CI=true a skipped test is a failure: what it needs must be there."""
    if os.environ.get("CI") == "true" and terminalreporter.stats.get("skipped"):
        terminalreporter.write_line("CI=true: skipped tests count as failures", red=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """See pytest_terminal_summary."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter and reporter.stats.get("skipped") and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def place() -> Path:
    """The run's folder, watched: when the run has ended, whatever it started ends, and the folder goes (devstack.watchdog)."""
    place = Path(os.environ["SCAISEND_TEST_PLACE"])
    place.mkdir(mode=0o755, exist_ok=True)
    with _alone(place / "watch.lock"):
        if not (place / "watched").exists():
            watchdog = subprocess.Popen(
                [sys.executable, "-m", "devstack.watchdog", str(place), os.environ["SCAISEND_TEST_OWNER"]],
                env={**os.environ, "PYTHONPATH": TOOLS},
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            watchdog.returncode = 0  # it ends by itself
            (place / "watched").touch()
    return place


@pytest.fixture(scope="session")
def shared(place: Path) -> Shared:
    """Start the servers, or wait until another worker has."""
    with _alone(place / "lock"):
        if not (place / "ready").exists():
            urls = servers.start(place, durable=False, report=lambda _: None)
            databases.create(urls.postgres_dsn, TEMPLATE)
            asyncio.run(migrate(databases.at(urls.postgres_dsn, TEMPLATE), role_password=databases.ROLE_PASSWORD))
            (place / "ready").touch()
    return Shared(place, servers.urls(place))


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One worker of the run at a time."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def worker_number(worker_id: str) -> int:
    """0, 1, … for the workers of a parallel run."""
    return int(worker_id.removeprefix("gw")) if worker_id != "master" else 0


@pytest.fixture
def fresh_vhost(shared: Shared) -> Iterator[Callable[[], str]]:
    """Make empty vhosts: each call returns the URL of a new one; all are removed afterwards."""
    made: list[str] = []

    def make() -> str:
        made.append(f"t{uuid4().hex[:12]}")
        servers.create_vhost(shared.urls.amqp_admin_url, made[-1])
        return shared.urls.amqp_url.replace("%2F", made[-1])

    yield make
    for name in made:
        with suppress(OSError):
            servers.delete_vhost(shared.urls.amqp_admin_url, name)


@pytest.fixture(scope="session")
def amqp_url(shared: Shared) -> str:
    """A vhost of this worker's own with the whole topology declared."""
    name = f"w{uuid4().hex[:12]}"
    servers.create_vhost(shared.urls.amqp_admin_url, name)
    url = shared.urls.amqp_url.replace("%2F", name)
    asyncio.run(declare(url, EXCHANGES, Topology().queues(), settle=timedelta(seconds=1)))
    return url


@pytest.fixture
def postgres_dsn(shared: Shared) -> Iterator[str]:
    """The administrator's DSN of a migrated database of this test's own."""
    name = f"d{uuid4().hex[:12]}"
    with _alone(shared.place / "template.lock"):  # a template is copied by one at a time
        databases.create(shared.urls.postgres_dsn, name, template=TEMPLATE)
    yield databases.at(shared.urls.postgres_dsn, name)
    databases.drop(shared.urls.postgres_dsn, name)


@pytest.fixture
def service_dsn(postgres_dsn: str) -> Callable[[str], str]:
    """The same database as a service sees it: `service_dsn("api")` logs in as scaisend_api."""
    name = postgres_dsn.rpartition("/")[2]
    return lambda service: databases.at(postgres_dsn, name, f"scaisend_{service}")


@pytest.fixture
def redis_url(shared: Shared, worker_number: int) -> str:
    """An empty Redis index for caches and limits."""
    url = f"{shared.urls.redis_url.rpartition('/')[0]}/{worker_number}"
    return _emptied(url)


@pytest.fixture
def ledger_url(shared: Shared, worker_number: int) -> str:
    """An empty ledger."""
    url = f"{shared.urls.ledger_url.rpartition('/')[0]}/{worker_number}"
    return _emptied(url)


@dataclass(frozen=True)
class SmallInternet:
    """A running sandbox: DNS as host:port, the one port of all its MX hosts, the URL of its inbox."""

    dns: str
    smtp_port: int
    inbox_url: str


@pytest.fixture(scope="session")
def sandbox(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallInternet]:
    """A small internet, shared by the tests of one worker: they use addresses of their own."""
    with (tmp_path_factory.mktemp("sandbox") / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sandbox"],
            env={**os.environ, "PYTHONPATH": TOOLS},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    with process:
        assert process.stdout
        places = json.loads(process.stdout.readline())
        yield SmallInternet(places["dns"], places["smtp_port"], places["inbox_url"])
        process.terminate()


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A port of loopback that nobody listens on now; a new one at each call."""
    return servers.free_port


def _emptied(url: str) -> str:
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url
