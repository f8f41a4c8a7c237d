"""The four roles: which loops each has, over what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar

from scaisend_common.messages import Stream, SubmissionBatch, decode_control, decode_events, decode_later, decode_submissions
from scaisend_common.plumbing.amqp import BatchConsumer, ControlListener, Publisher
from scaisend_common.plumbing.blobs import BlobStore
from scaisend_common.plumbing.postgres import Pool
from scaisend_common.plumbing.redis import Redis
from scaisend_common.plumbing.service import Loop, Readiness
from scaisend_common.topology import CONTROL, LATER_QUEUE, record_queue
from scaisend_scheduler.later.due import DueLoop
from scaisend_scheduler.later.sweep import EVERY, RETRY, Sweep
from scaisend_scheduler.later.waiting import WaitingRoom
from scaisend_scheduler.periodic import OUTAGES, Periodic
from scaisend_scheduler.record.handler import Recorder
from scaisend_scheduler.route.handler import Router
from scaisend_scheduler.routing import Egress
from scaisend_scheduler.settings import RoleName, Settings
from scaisend_scheduler.sites import Sites
from scaisend_scheduler.upkeep.housekeeping import Housekeeping
from scaisend_scheduler.upkeep.refill import Refill

# Messages, of 16 recipients each unless one submission has more. As many come at once when a batch is acked: with bulk that is a load.
MOST = {Stream.TRANSACTIONAL: 32, Stream.BULK: 6}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parts:
    """What roles are built from."""

    settings: Settings
    pool: Pool
    publisher: Publisher
    ledger: Redis
    sites: Sites
    egress: Egress


@dataclass(frozen=True, slots=True)
class Role:
    """Loops in the order in which they stop, and what must be so for the role to do its work."""

    loops: list[Loop]
    checks: dict[str, Callable[[], Readiness]]


def route(parts: Parts) -> Role:
    """A consumer per stream, each with a connection of its own, so that bulk never delays transactional mail."""
    router = Router(parts.pool, BlobStore(parts.pool), parts.sites, parts.publisher, parts.egress)
    consumers = {
        f"route.{stream}": BatchConsumer(
            parts.settings.amqp_url,
            parts.egress.topology.submit_queues(stream),
            decode_submissions,
            router.handle,
            name=f"scheduler-route-{stream}",
            prefetch=64,  # a queue; 192 KiB at most each, unless a single submission is longer
            most=MOST[stream],
            linger=timedelta(0),  # what comes while it routes is company enough
            concurrency=2 if stream is Stream.TRANSACTIONAL else 1,  # one waits for Postgres or DNS while the other is planned
            outages=OUTAGES,
        )
        for stream in Stream
    }
    control = ControlListener(parts.settings.amqp_url, CONTROL, decode_control, router.hear, name="scheduler-control")

    async def stop(consumer: BatchConsumer[SubmissionBatch]) -> None:
        router.hurry()
        await consumer.stop()

    loops = [Loop(name, each.run, partial(stop, each)) for name, each in consumers.items()]
    return Role([*loops, Loop("route.control", control.run, control.stop)], {name: _consuming(each) for name, each in consumers.items()})


def later(parts: Parts) -> Role:
    """What waits, the loop that sends it on, and the sweep that drops what was stopped."""
    due = DueLoop(parts.pool, parts.sites, parts.publisher, parts.egress)
    sweep = Sweep(parts.pool, parts.publisher, parts.egress.topology)
    sweeping = Periodic("sweep", sweep.sweep, every=EVERY, retry=RETRY)
    consumer = BatchConsumer(
        parts.settings.amqp_url,
        [LATER_QUEUE],
        decode_later,
        WaitingRoom(parts.pool, due.wake, sweep.drop_barred).handle,
        name="scheduler-later",
        prefetch=100,
        most=50,
        linger=timedelta(milliseconds=20),
        outages=OUTAGES,
    )
    loops = [_loop("later.waiting", consumer), Loop("later.due", due.run, due.stop), Loop("later.sweep", sweeping.run, sweeping.stop)]
    return Role(loops, {"later.waiting": _consuming(consumer)})


def record(parts: Parts) -> Role:
    """One consumer of all lanes: batches as large as the linger makes them."""
    consumer = BatchConsumer(
        parts.settings.amqp_url,
        [record_queue(lane) for lane in range(parts.egress.topology.event_lanes)],
        decode_events,
        Recorder(parts.pool, parts.ledger).handle,
        name="scheduler-record",
        prefetch=200,
        most=200,
        linger=timedelta(milliseconds=parts.settings.record_linger_ms),
        outages=OUTAGES,
    )
    return Role([_loop("record", consumer)], {"record": _consuming(consumer)})


def upkeep(parts: Parts) -> Role:
    """Partitions each hour; the ledger's epoch every few seconds, since repeats wait for its stops."""
    house = Housekeeping(parts.pool, parts.settings.history_days)
    refill = Refill(parts.pool, parts.ledger)
    hourly = Periodic("housekeeping", house.keep_house, every=timedelta(hours=1), retry=timedelta(minutes=1))
    watch = Periodic("refill", refill.refill_if_new, every=timedelta(seconds=5), retry=timedelta(seconds=2))
    return Role([Loop("upkeep.house", hourly.run, hourly.stop), Loop("upkeep.refill", watch.run, watch.stop)], {})


ROLES: Mapping[RoleName, Callable[[Parts], Role]] = {"route": route, "later": later, "record": record, "upkeep": upkeep}


def _loop(name: str, consumer: BatchConsumer[T]) -> Loop:
    return Loop(name, consumer.run, consumer.stop)


def _consuming(consumer: BatchConsumer[T]) -> Callable[[], Readiness]:
    return lambda: Readiness.READY if consumer.is_ready else Readiness.NOT_READY
