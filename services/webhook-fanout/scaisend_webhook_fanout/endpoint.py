"""An endpoint as its owner set it, and the cache of all of them by tenant."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

FRESH_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a tenant's events go; `kinds` are the settings' flags that are on; `key` signs when signing is on."""

    tenant_id: str
    endpoint_id: str
    url: str
    kinds: frozenset[str]
    key: EllipticCurvePrivateKey | None


class Endpoints:
    """Enabled endpoints by tenant, at most a minute old; forgotten on a Flush of `control`."""

    def __init__(self, load: Callable[[str], Awaitable[tuple[Endpoint, ...]]]) -> None:
        self._load = load
        self._known: dict[str, tuple[float, tuple[Endpoint, ...]]] = {}

    async def of(self, tenant_id: str) -> tuple[Endpoint, ...]:
        """Return the tenant's enabled endpoints; raises DatabaseAway when they are not known and cannot be read."""
        known = self._known.get(tenant_id)
        if known and monotonic() - known[0] < FRESH_SECONDS:
            return known[1]
        endpoints = await self._load(tenant_id)
        self._known[tenant_id] = (monotonic(), endpoints)
        return endpoints

    def forget(self, tenant_id: str) -> None:
        """Read the tenant's endpoints anew next time."""
        self._known.pop(tenant_id, None)

    async def forget_all(self) -> None:
        """Read everything anew: what was said on `control` meanwhile is lost."""
        self._known.clear()
