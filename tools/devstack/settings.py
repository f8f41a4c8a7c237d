"""The environment of the services: secrets made once, ports chosen once, URLs of servers given or our own."""

from __future__ import annotations

import json
import os
import sys
from base64 import b64encode
from dataclasses import asdict, dataclass
from pathlib import Path
from secrets import token_bytes

from devstack import databases
from devstack.servers import Servers, free_port, urls

SERVICES = ("scheduler", "deliverer", "bounce-inbound", "webhook-fanout", "api")
DEMO_DOMAIN = "demo.test"
INBOUND_NAME = "mx.scaisend.test"
GIVEN = {"AMQP_URL": "amqp_url", "POSTGRES_DSN": "postgres_dsn", "REDIS_URL": "redis_url", "LEDGER_URL": "ledger_url"}
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
    """How many processes of each service: one, two deliverers, or as SCAISEND_<SERVICE>S says."""
    default = {"deliverer": 2}
    return {service: int(os.environ.get(f"SCAISEND_{_upper(service)}S", default.get(service, 1))) for service in SERVICES}


def choices(place: Path) -> Choices:
    """Return the place's ports, chosen when it has none."""
    path = place / "choices.json"
    if not path.exists():
        ports: set[int] = set()
        while len(ports) < len(Choices.__dataclass_fields__):
            ports.add(free_port())
        path.write_text(json.dumps(asdict(Choices(*ports))))
    return Choices(**json.loads(path.read_text()))


def secrets(place: Path) -> dict[str, str]:
    """Return the place's secrets, made once; only their owner reads them."""
    path = place / "secrets.json"
    if not path.exists():
        made = {
            name: f"k1:{b64encode(token_bytes(32)).decode()}" for name in ("SCAISEND_KEY_PEPPER", "SCAISEND_KEK", "SCAISEND_TOKEN_SECRET")
        }
        write_private(path, json.dumps(made))
    return dict(json.loads(path.read_text()))


def servers_wanted() -> list[str]:
    """The servers for which no URL is given."""
    return [server for name, server in SERVER_OF.items() if not os.environ.get(name)]


def server_urls(place: Path) -> Servers:
    """The URLs: as given in the environment, else of the place's own servers."""
    own = asdict(urls(place))
    return Servers(**(own | {field: os.environ[name] for name, field in GIVEN.items() if os.environ.get(name)}))


def environment(place: Path, service: str = "") -> dict[str, str]:
    """The environment of a service, or of the command line where none is named (it then is the administrator's)."""
    chosen, servers = choices(place), server_urls(place)
    database = servers.postgres_dsn.rpartition("/")[2]
    dsn = databases.at(servers.postgres_dsn, database, f"scaisend_{service.replace('-', '_')}") if service else servers.postgres_dsn
    given = {name: value for name, value in os.environ.items() if name.startswith("SCAISEND_")}
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
        "SCAISEND_DB_PASSWORD": databases.ROLE_PASSWORD,
        "AMQP_URL": servers.amqp_url,
        "POSTGRES_DSN": dsn,
        "REDIS_URL": servers.redis_url,
        "LEDGER_URL": servers.ledger_url,
        **secrets(place),
        **given,
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
    path = place / "health.json"
    known: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    ports = {
        service: [known.setdefault(f"{service}.{n}", free_port()) for n in range(1, count + 1)] for service, count in numbers().items()
    }
    path.write_text(json.dumps(known))
    return ports


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
