"""Private RabbitMQ, Postgres and Redis on free ports of loopback: found installed, or from wheels and unpacked packages.

Nothing here knows ScaiSend. A place is a folder with `log/`, `pid/` and the servers' data; `SCAISEND_IGNORE_INSTALLED=1` passes over
what the machine has installed.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from urllib.error import URLError

from devstack.packages import Report
from devstack.ports import free_port, kept
from devstack.postgres import PASSWORD, start_postgres
from devstack.process import abandon, pid_of, stop
from devstack.programs import CannotStart
from devstack.rabbitmq import call_rabbitmq, create_vhost, delete_vhost, rabbitmq_env, start_rabbitmq
from devstack.redis import start_redis

__all__ = [
    "CannotStart",
    "Servers",
    "call_rabbitmq",
    "create_vhost",
    "delete_vhost",
    "free_port",
    "rabbitmq_env",
    "start",
    "stop_all",
    "urls",
]

ORDER = ("ledger", "redis", "postgres", "rabbitmq", "epmd")
PORTS = {  # each with the server that it belongs to
    "amqp": "rabbitmq",
    "amqp_admin": "rabbitmq",
    "erlang": "rabbitmq",
    "epmd": "epmd",
    "postgres": "postgres",
    "redis": "redis",
    "ledger": "ledger",
}


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the servers of a place listen."""

    amqp_url: str
    amqp_admin_url: str
    postgres_dsn: str
    redis_url: str
    ledger_url: str


def kept_ports(place: Path) -> dict[str, int]:
    """Return the ports of a place's servers; chosen when it has none yet."""
    return kept(place / "ports.json", PORTS, lambda port: pid_of(place, PORTS[port]) is not None)


def urls(place: Path) -> Servers:
    """Where this place's servers listen, running or not."""
    ports = kept_ports(place)
    return Servers(
        amqp_url=f"amqp://guest:guest@127.0.0.1:{ports['amqp']}/%2F",
        amqp_admin_url=f"http://127.0.0.1:{ports['amqp_admin']}",
        postgres_dsn=f"postgresql://postgres:{PASSWORD}@127.0.0.1:{ports['postgres']}/scaisend",
        redis_url=f"redis://127.0.0.1:{ports['redis']}/0",
        ledger_url=f"redis://127.0.0.1:{ports['ledger']}/0",
    )


def start(place: Path, *, durable: bool, report: Report, only: Iterable[str] = ("postgres", "redis", "ledger", "rabbitmq")) -> Servers:
    """Start what is not running and wait until it answers. `durable=False` spares the fsyncs of Postgres, for tests."""
    place.mkdir(parents=True, exist_ok=True)
    ports, wanted = kept_ports(place), set(only)
    starts = {
        "rabbitmq": partial(start_rabbitmq, place, ports, report),  # the slowest first
        "postgres": partial(start_postgres, place, ports["postgres"], durable=durable),
        "redis": partial(start_redis, place, "redis", ports["redis"]),
        "ledger": partial(start_redis, place, "ledger", ports["ledger"]),
    }
    for name, start_one in starts.items():
        if name in wanted and not pid_of(place, name):
            report(f"starting {name}")
            start_one()
    for name, port in (("redis", "redis"), ("ledger", "ledger"), ("postgres", "postgres"), ("rabbitmq", "amqp")):
        if name in wanted:
            _await_port(place, name, ports[port], 90)
    if "rabbitmq" in wanted:
        _await_rabbitmq(place, f"http://127.0.0.1:{ports['amqp_admin']}")
    return urls(place)


def stop_all(place: Path, *, hastily: bool = False) -> None:
    """End every server of the place: politely, or, where the data is thrown away anyway, at once."""
    for name in ORDER:
        if hastily:
            abandon(place, name)
        else:
            stop(place, name, with_signal=signal.SIGINT if name == "postgres" else signal.SIGTERM, grace=30)


def _await_rabbitmq(place: Path, admin_url: str) -> None:
    deadline = monotonic() + 60
    while True:
        with suppress(URLError, OSError):
            call_rabbitmq(admin_url, "GET", "/api/overview")
            return
        if monotonic() > deadline or not pid_of(place, "rabbitmq"):
            raise CannotStart(f"RabbitMQ does not answer:\n{_tail(place, 'rabbitmq')}")
        sleep(0.1)


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
