"""Stops: marks in the ledger saying that something must not be sent to any more. Written after the Postgres commit that caused them.

`scheduler/upkeep` refills them from Postgres when the ledger carries a new epoch. The value of a stop is the reason of the `dropped` event.
"""

from __future__ import annotations

from scaisend_common.mail.address import Address, suppression_key
from scaisend_common.mail.ids import DeliveryId


def tenant_stop(tenant_id: str) -> str:
    """The key of the stop of a whole tenant (suspended)."""
    return f"stop:t:{tenant_id}"


def address_stop(tenant_id: str, address: Address) -> str:
    """The key of the stop of an address (suppressed)."""
    return f"stop:a:{tenant_id}:{suppression_key(address)}"


def batch_stop(tenant_id: str, batch_id: str) -> str:
    """The key of the stop of a batch (cancelled)."""
    return f"stop:b:{tenant_id}:{batch_id}"


def delivery_stop(delivery_id: DeliveryId) -> str:
    """The key of the stop of one delivery (cancelled)."""
    return f"stop:d:{delivery_id}"


# Unix time at which this ledger was first seen empty; written when all stops have been written again. While it is missing, a stop that is
# not there says nothing, and nor does a claim that is not there of a job that was routed before.
EPOCH = "ledger:epoch"
