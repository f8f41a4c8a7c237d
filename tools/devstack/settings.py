"""The environment of the services: secrets made once, ports chosen once, URLs of servers given or our own."""

from __future__ import annotations

import json
import os
import sys
from base64 import b64encode
from dataclasses import asdict, dataclass
from pathlib import Path
from secrets import token_bytes, token_urlsafe

from devstack import databases
from devstack.ports import kept
from devstack.process import pid_of
from devstack.servers import Servers, urls

SERVICES = ("scheduler", "deliverer", "bounce-inbound", "webhook-fanout", "api")
DEMO_DOMAIN = "demo.test"
INBOUND_NAME = "mx.scaisend.test"
GIVEN = {"AMQP_URL": "amqp_url", "POSTGRES_DSN": "postgres_dsn", "REDIS_URL": "redis_url", "LEDGER_URL": "ledger_url"}
PROCESS_OF = {"api": "api.1", "inbound": "bounce-inbound.1", "dns": "sandbox", "smtp": "sandbox", "inbox": "sandbox"}
SERVER_OF = {"AMQP_URL": "rabbitmq", "POSTGRES_DSN": "postgres", "REDIS_URL": "redis", "LEDGER_URL": "ledger"}


@dataclass(frozen=True, slots=True)
class Choices:
    """What is chosen once for a place and kept: ports of the services and of the sandbox."""

    api: int
    inbound: int
    dns: int
    smtp: int
    inbox: int


def numbers() -> dict[str, int]:
    """How many processes of each service: one, two schedulers, two deliverers, or as SCAISEND_<SERVICE>S says."""
    default = {"scheduler": 2, "deliverer": 2}
    return {service: int(os.environ.get(f"SCAISEND_{_upper(service)}S", default.get(service, 1))) for service in SERVICES}


def part_of(service: str, n: int, count: int) -> dict[str, str]:
    """What the n-th of `count` processes is told of its part: of several schedulers every second one records, the others do the rest."""
    if service != "scheduler" or count == 1:
        return {}
    return {"SCAISEND_ROLES": "record" if n % 2 == 0 else "route,later,upkeep"}


def choices(place: Path) -> Choices:
    """Return the place's ports, chosen when it has none."""
    return Choices(**kept(place / "choices.json", PROCESS_OF, lambda port: pid_of(place, PROCESS_OF[port]) is not None))


def secrets(place: Path) -> dict[str, str]:
    """Return the place's secrets, made once; only their owner reads them."""
    path = place / "secrets.json"
    if not path.exists():
        keys = ("SCAISEND_KEY_PEPPER", "SCAISEND_KEK", "SCAISEND_TOKEN_SECRET")
        made = {name: f"k1:{b64encode(token_bytes(32)).decode()}" for name in keys}
        write_private(path, json.dumps(made | {"SCAISEND_DB_PASSWORD": token_urlsafe(24)}))
    return dict(json.loads(path.read_text()))


def given(place: Path) -> dict[str, str]:
    """What the caller's environment sets. What merely repeats `.run/env` is not given: somebody has sourced that file."""
    ours = read_variables(place)
    return {
        name: value
        for name, value in os.environ.items()
        if (name in GIVEN or name.startswith("SCAISEND_")) and value and value != ours.get(name)
    }


def servers_wanted(place: Path) -> list[str]:
    """The servers for which no URL is given."""
    return [server for name, server in SERVER_OF.items() if name not in given(place)]


def server_urls(place: Path) -> Servers:
    """The URLs: as given in the environment, else of the place's own servers."""
    own, theirs = asdict(urls(place)), given(place)
    return Servers(**(own | {field: theirs[name] for name, field in GIVEN.items() if name in theirs}))


def environment(place: Path, service: str = "") -> dict[str, str]:
    """The environment of a service, or of the command line where none is named (it then is the administrator's)."""
    chosen, servers = choices(place), server_urls(place)
    kept_secret = secrets(place)
    dsn = servers.postgres_dsn
    if service:
        dsn = databases.at(dsn, databases.name_of(dsn), f"scaisend_{service.replace('-', '_')}", kept_secret["SCAISEND_DB_PASSWORD"])
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", str(place)),
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "TZ": "UTC",
        "SCAISEND_ENV": "development",
        "SCAISEND_ALLOW_PRIVATE_DESTINATIONS": "true",
        "SCAISEND_REMOTE_SMTP_PORT": str(chosen.smtp),
        "SCAISEND_DNS": f"127.0.0.1:{chosen.dns}",
        "SCAISEND_API_HOST": "127.0.0.1",
        "SCAISEND_API_PORT": str(chosen.api),
        "SCAISEND_INBOUND_HOST": "127.0.0.1",
        "SCAISEND_INBOUND_PORT": str(chosen.inbound),
        "SCAISEND_INBOUND_NAME": INBOUND_NAME,
        "SCAISEND_EHLO_NAME": "out.scaisend.test",
        "AMQP_URL": servers.amqp_url,
        "POSTGRES_DSN": dsn,
        "REDIS_URL": servers.redis_url,
        "LEDGER_URL": servers.ledger_url,
        **kept_secret,
        **{name: value for name, value in given(place).items() if name not in GIVEN},
    }


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text)


def health_urls(place: Path) -> dict[str, list[str]]:
    """The health URLs of each service's processes."""
    return {service: [f"http://127.0.0.1:{port}" for port in ports] for service, ports in health_ports(place).items()}


def health_ports(place: Path) -> dict[str, list[int]]:
    """A port for the health of each process, chosen once, kept by name."""
    processes = {service: [f"{service}.{n}" for n in range(1, count + 1)] for service, count in numbers().items()}
    names = [name for each in processes.values() for name in each]
    ports = kept(place / "health.json", names, lambda name: pid_of(place, name) is not None)
    return {service: [ports[name] for name in each] for service, each in processes.items()}


def read_variables(place: Path) -> dict[str, str]:
    """What `.run/env` says; nothing before the first `make up`."""
    try:
        text = (place / "env").read_text()
    except FileNotFoundError:
        return {}
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _upper(service: str) -> str:
    return service.upper().replace("-", "_")


def variables(place: Path, api_key: str) -> str:
    """The text of `.run/env`: what a person or a program needs to use the stack."""
    chosen, servers = choices(place), server_urls(place)
    values = {
        "SCAISEND_API_URL": f"http://127.0.0.1:{chosen.api}",
        "SCAISEND_API_KEY": api_key,
        "SCAISEND_DEMO_FROM": f"hello@{DEMO_DOMAIN}",
        "SCAISEND_DEMO_TO": "ok@tls.test",
        "SCAISEND_INBOX_URL": f"http://127.0.0.1:{chosen.inbox}",
        "SCAISEND_BOUNCE_ADDR": f"127.0.0.1:{chosen.inbound}",
        "SCAISEND_DNS": f"127.0.0.1:{chosen.dns}",
        **{f"SCAISEND_{_upper(service)}_HEALTH_URLS": ",".join(found) for service, found in health_urls(place).items()},
        "POSTGRES_DSN": servers.postgres_dsn,
        "AMQP_URL": servers.amqp_url,
        "REDIS_URL": servers.redis_url,
        "LEDGER_URL": servers.ledger_url,
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())
