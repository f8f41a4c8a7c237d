"""Telling the running services that what they cached of a tenant is no longer so."""

from __future__ import annotations

from uuid import UUID

from scaisend_common.cli.output import out
from scaisend_common.messages import Flush, encode
from scaisend_common.plumbing.amqp import Publisher, Refused, Unavailable, Unroutable
from scaisend_common.topology import CONTROL


async def announce(amqp_url: str, tenant_id: UUID) -> bool:
    """Publish Flush to every process; return whether the broker took it. Without it caches learn by their age, within 60 s."""
    try:
        async with Publisher(amqp_url, name="scaisend") as publisher:
            await publisher.publish(CONTROL, "", encode(Flush(tenant_id=str(tenant_id))), mandatory=False)
    except (Unavailable, Refused, Unroutable, OSError) as error:
        out.note(f"the broker could not be told ({error}); running services learn of it within 60 s")
        return False
    return True
