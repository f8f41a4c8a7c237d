"""Ports of loopback: chosen at random below those that the kernel hands out by itself, kept per place, changed only when taken."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

LOWEST, HIGHEST = 12_000, 32_000  # Linux gives outgoing connections 32768 and up
_chance = random.SystemRandom()


def is_free(port: int) -> bool:
    """Whether nobody listens on it, for TCP and UDP."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have just ended do not count
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def free_port() -> int:
    """Return a port of loopback that nobody listens on now. Random, so that others who look at the same time find another."""
    while not is_free(port := _chance.randrange(LOWEST, HIGHEST)):
        pass
    return port


def kept(path: Path, names: Iterable[str], in_use: Callable[[str], bool]) -> dict[str, int]:
    """Return a port for each name: as the file says, newly chosen where it says none, or where a stranger has taken it.

    `in_use(name)`: what the port belongs to runs, so that the port is rightly not free.
    """
    known: dict[str, int] = {}
    with suppress(OSError, ValueError):
        known = json.loads(path.read_text())
    ports: dict[str, int] = {}
    for name in names:
        port = known.get(name)
        while port is None or port in ports.values() or not (in_use(name) or is_free(port)):
            port = free_port()
        ports[name] = port
    if any(known.get(name) != port for name, port in ports.items()):
        path.write_text(json.dumps(known | ports, indent=1))
    return ports
