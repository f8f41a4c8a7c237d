"""GET /v3/messages/{id}: what became of a submission, or of one delivery."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from typing import TypeVar

from scaisend_api import store
from scaisend_api.answer import Answer, error, json_answer
from scaisend_api.grant import Grant
from scaisend_api.recent import Recent
from scaisend_api.timeline import delivery_view, submission_view
from scaisend_common.mail.ids import DeliveryId, SubmissionId, delivery_of_sg_message_id, is_submission_id, made_at, submission_of
from scaisend_common.plumbing.postgres import Pool

FRESH_SECONDS = 5.0  # an id of this age may be on its way to the timeline
WAIT_SECONDS = 0.9  # readable within a second of the 202
LOOK_EVERY = 0.05

T = TypeVar("T")
NO_SUCH_MESSAGE = json_answer(404, {"errors": [{"message": "not found", "field": "message_id"}]})


class Messages:
    """The resource. `now` in unix seconds."""

    def __init__(self, pool: Pool, recent: Recent, now: Callable[[], float]) -> None:
        self._pool = pool
        self._recent = recent
        self._now = now

    async def read(self, grant: Grant, id_: str) -> Answer:
        """Answer for an X-Message-Id or a sg_message_id. Raises DatabaseAway."""
        if is_submission_id(id_):
            return await self._submission(grant.tenant_id, SubmissionId(id_))
        delivery = delivery_of_sg_message_id(id_)
        return NO_SUCH_MESSAGE if delivery is None else await self._delivery(grant.tenant_id, delivery)

    async def _submission(self, tenant_id: str, submission: SubmissionId) -> Answer:
        day = _day_of(submission)
        if day is None:
            return NO_SUCH_MESSAGE
        rows = await self._soon(submission, lambda: store.read_submission(self._pool, tenant_id, day, submission))
        if not rows and not self._recent.is_of(submission, tenant_id):
            return NO_SUCH_MESSAGE
        return json_answer(200, submission_view(submission, rows))

    async def _delivery(self, tenant_id: str, delivery: DeliveryId) -> Answer:
        day = _day_of(submission_of(delivery))
        if day is None:
            return NO_SUCH_MESSAGE
        row = await self._soon(submission_of(delivery), lambda: store.read_delivery(self._pool, tenant_id, day, delivery))
        return json_answer(200, delivery_view(row)) if row else NO_SUCH_MESSAGE

    async def _soon(self, submission: SubmissionId, look: Callable[[], Awaitable[T]]) -> T:
        """Return what is found; where there is nothing and the submission is of these seconds, look again for a while."""
        now = self._now()
        until = now + WAIT_SECONDS if abs(now - made_at(submission).timestamp()) < FRESH_SECONDS else now
        found = await look()
        while not found and self._now() < until:
            await asyncio.sleep(LOOK_EVERY)
            found = await look()
        return found


def _day_of(submission: SubmissionId) -> date | None:
    """The partition of a submission, or None where the id carries no time that can be."""
    try:
        return made_at(submission).date()
    except (ValueError, OverflowError):
        return None


def unavailable() -> Answer:
    """Return the answer while the timeline cannot be read."""
    return error(503, "service unavailable", None, (b"retry-after", b"2"))
