"""`scaisend declare`: make exchanges and queues so, before any service runs."""

from __future__ import annotations

from scaisend_common.cli.output import Refused, finish, out
from scaisend_common.cli.settings import BrokerSettings
from scaisend_common.plumbing.settings import load
from scaisend_common.topology import EXCHANGES


def declare() -> None:
    """Make every exchange and queue, and send a message through each idle one and back. Idempotent."""
    finish(_declare(load(BrokerSettings)))


async def _declare(settings: BrokerSettings) -> None:
    from scaisend_common.plumbing.amqp import declare as amqp  # loads aio-pika, which no other command needs

    try:
        declared = await amqp.declare(settings.amqp_url, EXCHANGES, settings.topology().queues(), progress=out.note)
    except amqp.DeclarationFailed as failed:
        raise Refused(str(failed)) from None
    out.value(
        {"made": list(declared.made), "stood": len(declared.stood), "probed": declared.probed},
        said=f"{len(declared.made)} queues made, {len(declared.stood)} stood already, {declared.probed} probed",
    )
