"""Tenants of the bench, made as an operator makes them; their submissions and events share the lanes of the demo tenant's."""

from __future__ import annotations

import asyncio

from bench.floods import Sender
from bench.house import SENDER, House
from devstack.seed import TENANT, scaisend
from scaisend_common.messages import Stream
from scaisend_common.topology import Topology

MOST = 64


def demo(made: House) -> Sender:
    """The tenant of the rest of the bench."""
    return Sender(made.api_port, made.api_key, SENDER)


def beside(made: House, slug: str, *, stream: Stream | None = None) -> Sender:
    """Make a tenant whose lanes are the demo tenant's: tenants are made until the hash of one fits. `stream`: its key is set to one."""
    wanted = _lanes(str(asyncio.run(made.ask("SELECT id FROM tenants WHERE slug = $1", TENANT))))
    for n in range(MOST):
        name = f"{slug}-{n}"
        if _lanes(scaisend(made.place, "tenant", "create", name, "--partner", TENANT)["id"]) == wanted:
            domain = f"{slug}.test"
            scaisend(made.place, "domain", "create", name, domain)
            records = scaisend(made.place, "domain", "dns", name, domain)
            made.publish([{"name": each["name"], "type": each["type"], "value": each["value"]} for each in records])
            scaisend(made.place, "domain", "verify", name, domain)
            return Sender(made.api_port, key(made, name, stream), f"flood@{domain}")
    raise RuntimeError(f"none of {MOST} tenants shares the lanes of {TENANT}")


def key(made: House, tenant: str, stream: Stream | None) -> str:
    """Make a key, set to a stream or not."""
    chosen = ["--stream", stream.value] if stream else []
    return str(scaisend(made.place, "key", "create", tenant, *chosen)["api_key"])


def lanes(made: House) -> list[str]:
    """The submit queues and the record queue of the demo tenant."""
    tenant = str(asyncio.run(made.ask("SELECT id FROM tenants WHERE slug = $1", TENANT)))
    topology = Topology()
    return [*(f"submit.{topology.submit_key(stream, tenant)}" for stream in Stream), f"record.{topology.event_key(tenant)}"]


def _lanes(tenant_id: str) -> tuple[str, str]:
    topology = Topology()
    return topology.submit_key(Stream.TRANSACTIONAL, tenant_id), topology.event_key(tenant_id)
