"""Run the loops of a service until SIGTERM; serve /health, /ready and /metrics beside them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum


class Readiness(Enum):
    """What /ready says: 200, 200 with `degraded`, 503."""

    READY = "ready"
    DEGRADED = "degraded"
    NOT_READY = "not_ready"


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop of a service: `run` until `stop` is called; a loop that ends or raises before that ends the process with status 1."""

    name: str
    run: Callable[[], Awaitable[None]]
    stop: Callable[[], Awaitable[None]]


async def run(
    service: str,
    loops: Sequence[Loop],
    *,
    health_host: str,
    health_port: int,
    checks: Mapping[str, Callable[[], Readiness]],
    grace: timedelta,
) -> None:
    """Run until SIGTERM or SIGINT, then stop the loops in their order, within `grace`. Logs `service_started`, `service_stopped`."""
    raise NotImplementedError
