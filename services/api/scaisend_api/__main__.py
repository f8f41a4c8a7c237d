"""api: SendGrid's v3 over HTTP. Takes mail over from programs, tells them what became of it.

RECEIVES  HTTP; `control` (Flush)
WRITES    blobs (large content), webhook_endpoints, idempotency keys (Redis)
PUBLISHES `mail.submit` (SubmissionBatch), `control` (Flush)
FAILS     Broker away or blocked: 503 with Retry-After at once. Postgres away: mail is accepted from keys and domains known in the last
          hour, the rest is 503. Redis away: only requests with an Idempotency-Key are 503. Killed: what had its 202 is in the broker.
STANDARDS contract sections 1, 2, 9 and 10; RFC 9110, RFC 1952 (gzip)
"""

from __future__ import annotations

import os
from datetime import timedelta
from functools import partial
from time import time

from scaisend_api.acceptance import Desk
from scaisend_api.accounts import Accounts
from scaisend_api.application import Application
from scaisend_api.idempotency import IdempotencyKeys
from scaisend_api.limits import Limits
from scaisend_api.mail_send import MailSend
from scaisend_api.messages import Messages
from scaisend_api.outbox import Outbox
from scaisend_api.probe import RedisProbe
from scaisend_api.recent import Recent
from scaisend_api.server import HttpServer
from scaisend_api.settings import Settings
from scaisend_api.startup import wait_for_migration, wait_for_queues
from scaisend_api.store import is_recorded
from scaisend_api.streams import Streams
from scaisend_api.webhook_settings import WebhookSettings
from scaisend_common.messages import Stream, decode_control
from scaisend_common.plumbing.amqp import Publisher
from scaisend_common.plumbing.amqp.control import ControlListener
from scaisend_common.plumbing.blobs import BlobStore
from scaisend_common.plumbing.postgres import open_pool
from scaisend_common.plumbing.redis import connect
from scaisend_common.plumbing.service import Loop, Readiness, main, run
from scaisend_common.plumbing.settings import load
from scaisend_common.topology import CONTROL, Topology

NAME = "api"


async def serve(settings: Settings) -> None:
    """Open the resources, wire the resources of HTTP, run until told to stop."""
    grace = timedelta(seconds=settings.grace_seconds)
    async with (
        open_pool(settings.postgres_dsn, name=NAME, statement_cache=settings.postgres_statement_cache) as pool,
        connect(settings.redis_url, name=NAME) as redis,
        Publisher(settings.amqp_url, name=NAME) as publisher,
    ):
        topology = Topology(shards=settings.shards, submit_lanes=settings.submit_lanes, event_lanes=settings.event_lanes)
        accounts, recent, probe = Accounts(pool, settings.key_pepper), Recent(), RedisProbe(redis)
        desk = Desk(
            accounts=accounts,
            outbox=Outbox(publisher),
            topology=topology,
            blobs=BlobStore(pool, cache_bytes=0),
            keys=IdempotencyKeys(redis),
            streams=Streams(bulk_above=settings.bulk_above, rate=settings.transactional_rate, burst=settings.transactional_burst),
            recent=recent,
            is_recorded=partial(is_recorded, pool),
            now=time,
            entropy=os.urandom,
        )
        mail = MailSend(accounts, desk, Limits(custom_args_bytes=settings.custom_args_bytes), time)
        application = Application(accounts, mail, Messages(pool, recent, time), WebhookSettings(pool, publisher, settings.kek))
        http = HttpServer(application, settings.api_host, settings.api_port, grace)
        control = ControlListener(
            settings.amqp_url, CONTROL, decode_control, accounts.on_control, name=NAME, connected=accounts.on_connected
        )
        await run(
            NAME,
            [Loop("http", http.run, http.stop), Loop("control", control.run, control.stop), Loop("redis", probe.run, probe.stop)],
            health_host=settings.health_host,
            health_port=settings.health_port,
            checks={
                "broker": lambda: Readiness.READY if publisher.is_ready else Readiness.NOT_READY,
                "postgres": lambda: Readiness.READY if pool.is_ready else Readiness.DEGRADED,
                "redis": lambda: Readiness.READY if probe.is_there else Readiness.DEGRADED,
            },
            grace=grace,
            first=[
                lambda: wait_for_migration(pool),
                lambda: wait_for_queues(settings.amqp_url, [queue for stream in Stream for queue in topology.submit_queues(stream)]),
            ],
        )


if __name__ == "__main__":
    main(NAME, load(Settings), serve)
