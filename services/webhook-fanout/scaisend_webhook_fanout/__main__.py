"""webhook-fanout: posts events to the customers' endpoints in SendGrid's form, signed, at least once.

RECEIVES  `webhook.<lane>` (EventBatch), `control` (Flush)
WRITES    webhook_batches (posts that wait for another try)
PUBLISHES nothing
FAILS     Postgres away: events wait in the broker. An endpoint down: its posts wait in Postgres for 24 hours. Killed: what was not
          acked is posted again with the same event ids.
STANDARDS contract sections 10 to 12 (payload, signature), reliability S6 (SSRF)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from scaisend_common.messages import Control, Flush, decode_control, decode_events
from scaisend_common.plumbing.amqp import Consumer, ControlListener, Refused, Unavailable
from scaisend_common.plumbing.postgres import DatabaseAway, open_pool
from scaisend_common.plumbing.service import Loop, Readiness, main, run
from scaisend_common.plumbing.settings import load
from scaisend_common.schema.migrate import wait_for_schema
from scaisend_common.topology import CONTROL, webhook_queue
from scaisend_webhook_fanout import store
from scaisend_webhook_fanout.endpoint import Endpoints
from scaisend_webhook_fanout.fanout import Fanout
from scaisend_webhook_fanout.poster import Poster
from scaisend_webhook_fanout.retries import Retries
from scaisend_webhook_fanout.settings import Settings

NAME = "webhook-fanout"
OUTAGES = (DatabaseAway, Unavailable, Refused)


async def serve(settings: Settings) -> None:
    """Open the resources, wire the loops, run until told to stop."""
    async with (
        open_pool(settings.postgres_dsn, name=NAME, statement_cache=settings.postgres_statement_cache) as pool,
        Poster(allow_private=settings.allow_private_destinations) as poster,
    ):
        endpoints = Endpoints(lambda tenant_id: store.read_endpoints(pool, settings.kek, tenant_id))
        fanout = Fanout(pool, endpoints, poster, window=timedelta(seconds=settings.webhook_window_seconds))
        queues = [webhook_queue(lane) for lane in range(settings.event_lanes)]
        consumer = Consumer(
            settings.amqp_url, queues, decode_events, fanout.handle, name=NAME, prefetch=settings.webhook_prefetch, outages=OUTAGES
        )
        control = ControlListener(
            settings.amqp_url, CONTROL, decode_control, _flushing(endpoints), name=NAME, connected=endpoints.forget_all
        )
        retries = Retries(fanout.retry_due)
        await run(
            NAME,
            [
                Loop("events", consumer.run, consumer.stop),
                Loop("retries", retries.run, retries.stop),
                Loop("control", control.run, control.stop),
            ],
            health_host=settings.health_host,
            health_port=settings.health_port,
            checks={
                "broker": lambda: Readiness.READY if consumer.is_ready else Readiness.NOT_READY,
                "postgres": lambda: Readiness.READY if pool.is_ready else Readiness.NOT_READY,
            },
            grace=timedelta(seconds=settings.grace_seconds),
            first=[lambda: wait_for_schema(pool)],
        )


def _flushing(endpoints: Endpoints) -> Callable[[Control], Awaitable[None]]:
    async def flush(message: Control) -> None:
        if isinstance(message, Flush):
            endpoints.forget(message.tenant_id)

    return flush


if __name__ == "__main__":
    main(NAME, load(Settings), serve)
