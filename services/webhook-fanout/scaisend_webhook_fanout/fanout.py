"""From events to posts: which endpoints want which events, and the retry of what was not taken."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from random import random
from uuid import uuid4

from msgspec.structs import replace
from prometheus_client import Counter
from structlog import get_logger

from scaisend_common.mail.events import Event
from scaisend_common.messages import EventBatch
from scaisend_common.plumbing.amqp import Ack, Incoming, Settlement
from scaisend_common.plumbing.failpoints import fail_here
from scaisend_common.plumbing.postgres import Pool
from scaisend_webhook_fanout import backoff, store
from scaisend_webhook_fanout.backoff import GiveUp, TryAt
from scaisend_webhook_fanout.endpoint import Endpoint, Endpoints
from scaisend_webhook_fanout.outbox import Outbox
from scaisend_webhook_fanout.payload import event_json, flag_of
from scaisend_webhook_fanout.poster import NotTaken, Poster, PostOutcome, Taken
from scaisend_webhook_fanout.signature import signature_headers
from scaisend_webhook_fanout.store import StoredPost

log = get_logger()
POSTS = Counter("scaisend_webhook_posts", "Posts to endpoints by outcome", ["outcome"])
EXPIRED = Counter("scaisend_webhook_posts_expired", "Posts given up after 24 hours")
IDLE_OUTBOXES = 10_000


class Fanout:
    """Hands each event to the outboxes of its tenant's endpoints."""

    def __init__(
        self,
        pool: Pool,
        endpoints: Endpoints,
        poster: Poster,
        *,
        window: timedelta,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pool = pool
        self._endpoints = endpoints
        self._poster = poster
        self._window = window
        self._now = now
        self._outboxes: dict[str, Outbox] = {}  # by endpoint id

    async def handle(self, incoming: Incoming[EventBatch]) -> Settlement:
        """Ack once each event was taken by, or stored for, every endpoint that wants it.

        A crash before posts again: same event ids, at most one extra post. A crash after loses nothing: taken or in Postgres.
        """
        by_tenant: dict[str, list[Event]] = defaultdict(list)
        for event in incoming.value.events:
            by_tenant[event.tenant_id].append(event)
        await asyncio.gather(*(self._spread(tenant_id, events) for tenant_id, events in by_tenant.items()))
        fail_here("webhook.after_post_before_ack")
        return Ack()

    async def retry_due(self, most: int, lease: timedelta) -> int:
        """Try stored posts that are due; return how many there were."""
        posts = await store.claim_due(self._pool, most, lease)
        await asyncio.gather(*(self._try_again(post) for post in posts))
        return len(posts)

    async def _spread(self, tenant_id: str, events: list[Event]) -> None:
        endpoints = await self._endpoints.of(tenant_id)
        wanted = [(endpoint, chosen) for endpoint in endpoints if (chosen := [e for e in events if flag_of(e) in endpoint.kinds])]
        if not wanted:
            return
        known = {event.event_id: event for event in await self._with_origins(tenant_id, events)}
        await asyncio.gather(*(self._outbox(endpoint).add([event_json(known[e.event_id]) for e in chosen]) for endpoint, chosen in wanted))

    async def _with_origins(self, tenant_id: str, events: Iterable[Event]) -> list[Event]:
        events = list(events)
        if not (missing := [event.delivery_id for event in events if event.origin is None]):
            return events
        origins = await store.read_origins(self._pool, tenant_id, missing)
        return [
            replace(event, origin=origins[event.delivery_id][0], message_id=origins[event.delivery_id][1])
            if event.origin is None and event.delivery_id in origins
            else event
            for event in events
        ]

    def _outbox(self, endpoint: Endpoint) -> Outbox:
        if len(self._outboxes) > IDLE_OUTBOXES:
            self._outboxes = {each: box for each, box in self._outboxes.items() if not box.is_idle}
        box = self._outboxes.get(endpoint.endpoint_id)
        if box is None:
            box = self._outboxes[endpoint.endpoint_id] = Outbox(
                endpoint, post=self._post, keep=self._keep, window=self._window.total_seconds()
            )
        box.endpoint = endpoint  # as its owner last set it
        return box

    async def _post(self, endpoint: Endpoint, body: bytes) -> PostOutcome:
        headers = signature_headers(endpoint.key, int(self._now().timestamp()), body) if endpoint.key else {}
        outcome = await self._poster.post(endpoint.url, body, headers)
        POSTS.labels(type(outcome).__name__.lower()).inc()
        log.info(
            "webhook_post", endpoint_id=endpoint.endpoint_id, bytes=len(body), why=outcome.why if isinstance(outcome, NotTaken) else ""
        )
        return outcome

    async def _keep(self, endpoint: Endpoint, body: bytes, why: str) -> None:
        now = self._now()
        post = StoredPost(endpoint.tenant_id, uuid4(), endpoint.endpoint_id, body, 1, now + backoff.LIFETIME)
        await self._reschedule(post, why)

    async def _try_again(self, post: StoredPost) -> None:
        endpoint = next((e for e in await self._endpoints.of(post.tenant_id) if e.endpoint_id == post.endpoint_id), None)
        if endpoint is None:  # disabled or deleted since: its owner wants no more
            await store.forget(self._pool, post)
            return
        match await self._post(endpoint, post.body):
            case Taken():
                await store.forget(self._pool, post)
                self._outbox(endpoint).recovered()
            case NotTaken(why):
                await self._reschedule(
                    StoredPost(post.tenant_id, post.post_id, post.endpoint_id, post.body, post.tries + 1, post.expires_at), why
                )

    async def _reschedule(self, post: StoredPost, why: str) -> None:
        match backoff.after(post.tries, now=self._now(), expires_at=post.expires_at, jitter=random()):  # noqa: S311 - spreads load, guards nothing
            case TryAt(at):
                await store.keep(self._pool, post, due_at=at, last_error=why)
            case GiveUp():
                await store.forget(self._pool, post)
                EXPIRED.inc()
                log.warning("webhook_post_expired", endpoint_id=post.endpoint_id, tries=post.tries, why=why)
