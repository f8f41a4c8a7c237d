"""Every exchange, queue and binding, as data. `scaisend declare` makes them so; services never declare one.

Every argument is explicit: RabbitMQ 3.10 and 4.x differ in their defaults (delivery limit, leader, overflow). Queues are durable and
quorum, bounded in bytes with `reject-publish`, and dead-letter at least once into `<name>.parked`, itself bounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from scaisend_common.messages import Stream

SUBMIT = "mail.submit"
DELIVER = "mail.deliver"
LATER = "mail.later"
EVENTS = "events"
CONTROL = "control"
PARKED = "parked"  # direct; key: name of the queue that a message was parked from

DELIVERY_LIMIT = 50
PARKED_DELIVERY_LIMIT = 1_000_000_000  # 4.x drops after 20 by default, and each look at a parked message is a delivery; 3.10 knows no -1
MIB = 1024 * 1024
QUEUE_BYTES = 2048 * MIB
EVENTS_BYTES = 4096 * MIB
PARKED_BYTES = 256 * MIB

DEFAULT_GROUP = "default"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange; `kind` is `direct` or `fanout`."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable quorum queue bound to `exchange` by `key`; `parking` queues hold what was parked and have no parking of their own."""

    name: str
    exchange: str
    key: str
    max_bytes: int
    parking: bool = False

    @property
    def arguments(self) -> dict[str, str | int]:
        """The queue's arguments, all explicit."""
        common: dict[str, str | int] = {
            "x-queue-type": "quorum",
            "x-queue-leader-locator": "balanced",
            "x-max-length-bytes": self.max_bytes,
            "x-overflow": "reject-publish",
        }
        if self.parking:
            return common | {"x-delivery-limit": PARKED_DELIVERY_LIMIT}
        return common | {
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": PARKED,
            "x-dead-letter-routing-key": self.name,
            "x-dead-letter-strategy": "at-least-once",
        }


EXCHANGES = (
    Exchange(SUBMIT, "direct"),
    Exchange(DELIVER, "direct"),
    Exchange(LATER, "direct"),
    Exchange(EVENTS, "direct"),
    Exchange(CONTROL, "fanout"),
    Exchange(PARKED, "direct"),
)


@dataclass(frozen=True, slots=True)
class Topology:
    """How many of each: `shards` per egress group, `submit_lanes` per stream, `event_lanes`."""

    shards: int = 8
    submit_lanes: int = 4
    event_lanes: int = 2
    groups: tuple[str, ...] = (DEFAULT_GROUP,)

    def queues(self) -> list[Queue]:
        """Every queue, each followed by the one it parks into."""
        working = [
            *(Queue(q, SUBMIT, _key_of(q), QUEUE_BYTES) for stream in Stream for q in self.submit_queues(stream)),
            *(
                Queue(deliver_queue(g, s, stream), DELIVER, deliver_key(g, s, stream), QUEUE_BYTES)
                for g in self.groups
                for s in range(self.shards)
                for stream in Stream
            ),
            Queue(LATER_QUEUE, LATER, LATER_QUEUE, QUEUE_BYTES),
            *(Queue(record_queue(lane), EVENTS, str(lane), EVENTS_BYTES) for lane in range(self.event_lanes)),
            *(Queue(webhook_queue(lane), EVENTS, str(lane), EVENTS_BYTES) for lane in range(self.event_lanes)),
        ]
        return [
            each for queue in working for each in (queue, Queue(parked_queue(queue.name), PARKED, queue.name, PARKED_BYTES, parking=True))
        ]

    def submit_queues(self, stream: Stream) -> list[str]:
        """The queues that carry the submissions of one stream."""
        return [f"submit.{stream}.{lane}" for lane in range(self.submit_lanes)]

    def submit_key(self, stream: Stream, tenant_id: str) -> str:
        """The routing key of a tenant's submissions on `mail.submit`."""
        return f"{stream}.{_hash(tenant_id) % self.submit_lanes}"

    def event_key(self, tenant_id: str) -> str:
        """The routing key of a tenant's events on `events`: their lane."""
        return str(_hash(tenant_id) % self.event_lanes)

    def shard(self, source: str, site: str, slot: int = 0) -> int:
        """The shard of a path's slot."""
        return _hash(f"{source}|{site}|{slot}") % self.shards


LATER_QUEUE = "later"


def deliver_queue(group: str, shard: int, stream: Stream) -> str:
    """The queue of one shard and stream of an egress group."""
    return f"deliver.{group}.{shard}.{stream}"


def is_transactional(queue: str) -> bool:
    """Tell whether a queue of jobs carries transactional mail."""
    return queue.endswith(f".{Stream.TRANSACTIONAL}")


def deliver_key(group: str, shard: int, stream: Stream) -> str:
    """The routing key of one shard and stream on `mail.deliver`."""
    return f"{group}.{shard}.{stream}"


def record_queue(lane: int) -> str:
    """The queue from which scheduler/record reads a lane of events."""
    return f"record.{lane}"


def webhook_queue(lane: int) -> str:
    """The queue from which webhook-fanout reads a lane of events."""
    return f"webhook.{lane}"


def own_queue(group: str, shard: int) -> str:
    """The exclusive queue whose holder may work the shard; declared by its holder, never by `declare`."""
    return f"own.{group}.{shard}"


def parked_queue(name: str) -> str:
    """Where what could not be handled in the queue `name` lies until somebody looks."""
    return f"{name}.parked"


def _key_of(submit_queue: str) -> str:
    return submit_queue.removeprefix("submit.")


def _hash(text: str) -> int:
    """A hash that is the same in every process and release."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())
