"""Taking a submission over from its sender: the instant at which mail becomes ours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import structlog

from scaisend_api.accounts import Accounts
from scaisend_api.grant import Grant
from scaisend_api.idempotency import LEASE, IdempotencyKeys, Known, OtherBody, Reserved, Running, State
from scaisend_api.limits import Limits
from scaisend_api.mail_request import MailRequest
from scaisend_api.outbox import Outbox
from scaisend_api.problem import Problem
from scaisend_api.reading import read_request
from scaisend_api.recent import Recent
from scaisend_api.streams import Streams
from scaisend_api.submission import Label, Parcel, inline_parcel_of, parcel_of
from scaisend_common.mail.ids import SubmissionId, made_at, submission_id
from scaisend_common.messages import BlobKey, Stream
from scaisend_common.plumbing.amqp import Refused, Unavailable, Unroutable
from scaisend_common.plumbing.blobs import BlobName, BlobStore
from scaisend_common.plumbing.failpoints import fail_here
from scaisend_common.plumbing.postgres import DatabaseAway
from scaisend_common.plumbing.redis import RedisAway
from scaisend_common.topology import Topology

LEDGER_SECONDS = 1800.0  # for which the ledger surely knows what was delivered (it keeps an outcome for an hour)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Accepted:
    """The broker has it."""

    submission_id: SubmissionId


@dataclass(frozen=True, slots=True)
class Checked:
    """The request keeps every rule, and asked for no more than to know that."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The request breaks rules."""

    problems: list[Problem]


@dataclass(frozen=True, slots=True)
class UnverifiedSender:
    """The tenant may not write from this address."""


@dataclass(frozen=True, slots=True)
class Away:
    """Something that accepting needs is away, or said no: `why`. The mail is not known to be ours."""

    why: str


Acceptance = Accepted | Checked | Rejected | UnverifiedSender | Away | Running | OtherBody


@dataclass(frozen=True, slots=True)
class Draft:
    """A request as it was read, with the digest of its bytes where an Idempotency-Key needs one."""

    request: MailRequest | list[Problem]
    digest: str


def draft_of(body: bytes | bytearray, now: float, limits: Limits, *, keyed: bool) -> Draft:
    """Read a body, which nobody needs any more afterwards. Pure."""
    return Draft(read_request(body, now, limits), sha256(body).hexdigest() if keyed else "")


class Desk:
    """Where mail is handed in. `now` in unix seconds; `entropy` gives so many random bytes."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        outbox: Outbox,
        topology: Topology,
        blobs: BlobStore,
        keys: IdempotencyKeys,
        streams: Streams,
        recent: Recent,
        is_recorded: Callable[[str, SubmissionId], Awaitable[bool]],
        now: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._accounts = accounts
        self._outbox = outbox
        self._topology = topology
        self._blobs = blobs
        self._keys = keys
        self._streams = streams
        self._recent = recent
        self._is_recorded = is_recorded
        self._now = now
        self._entropy = entropy

    def gives_way(self, grant: Grant) -> bool:
        """What comes with this key is bulk, and there is transactional mail."""
        return self._outbox.is_hurried and self._streams.expects_bulk(grant)

    async def accept(self, grant: Grant, draft: Draft, key: str | None) -> Acceptance:
        """Take a request over, or say why not. Nothing is done before all that can be known against it is known."""
        request = draft.request
        if isinstance(request, list):
            return Rejected(request)
        try:
            if not await self._accounts.may_send_from(grant.tenant_id, request.sender_domains()):
                return UnverifiedSender()
        except DatabaseAway as away:
            return Away(str(away))
        if request.is_sandbox:
            return Checked()
        if not self._outbox.is_ready:  # at once, with no byte written: only what was in flight already is in doubt
            return Away("the broker is away")
        now = self._now()
        new_id = submission_id(int(now * 1000), self._entropy(10))
        if key is not None:
            return await self._accept_once(grant, request, key, draft.digest, new_id)
        try:
            return await self._take(request, self._label(grant, request, new_id, now, repeat=False))
        except (Unavailable, Refused, Unroutable, DatabaseAway) as error:
            return Away(str(error))

    async def _accept_once(self, grant: Grant, request: MailRequest, key: str, digest: str, new_id: SubmissionId) -> Acceptance:
        """Take a request over that may have come before. Killed between any two lines, it is known as running, then as doubtful."""
        try:
            reservation = await self._keys.reserve(grant.tenant_id, key, digest, new_id)
        except RedisAway as away:
            return Away(str(away))
        if isinstance(reservation, Known):
            return Accepted(reservation.submission_id)
        if not isinstance(reservation, Reserved):
            return reservation
        submission = reservation.submission_id
        try:
            if reservation.repeat and await self._was_taken(grant.tenant_id, submission):
                await self._note(self._keys.settle(reservation, State.DONE))
                return Accepted(submission)
        except DatabaseAway as away:
            await self._note(self._keys.settle(reservation, State.DOUBTFUL))
            return Away(str(away))
        label = self._label(grant, request, submission, made_at(submission).timestamp(), repeat=reservation.repeat)
        try:
            async with asyncio.timeout(LEASE * 0.8):
                accepted = await self._take(request, label)
        except (Refused, Unroutable, DatabaseAway) as error:
            await self._note(self._keys.give_back(reservation))
            return Away(str(error))
        except (Unavailable, TimeoutError) as error:
            await self._note(self._keys.settle(reservation, State.DOUBTFUL))
            return Away(str(error) or "no confirm in time")
        await self._note(self._keys.settle(reservation, State.DONE))
        return accepted

    async def _was_taken(self, tenant_id: str, submission: SubmissionId) -> bool:
        """Tell whether the broker had a submission after all; asked while repeats of it may meet a ledger that has forgotten it."""
        return self._now() - made_at(submission).timestamp() > LEDGER_SECONDS and await self._is_recorded(tenant_id, submission)

    async def _take(self, request: MailRequest, label: Label) -> Accepted:
        """Store what is large, publish, return when the broker has confirmed. At that instant the mail is ours.

        A crash before it leaves blobs that expire by themselves; a crash just after it leaves mail that is sent, and a client that does
        not know: with an Idempotency-Key it asks again and gets the same id. Raises Unavailable, Refused, Unroutable, DatabaseAway.
        """
        parcel = await self._stored(request, label)
        fail_here("api.accept.after_store_before_publish")
        lane = self._topology.submit_key(label.stream, label.tenant_id)
        is_bulk = label.stream is Stream.BULK
        await self._outbox.publish(lane, parcel.encoded, request.recipients, alone=bool(parcel.blobs), is_bulk=is_bulk)
        fail_here("api.accept.after_confirm_before_answer")
        self._recent.add(label.submission_id, label.tenant_id)
        return Accepted(label.submission_id)

    async def _stored(self, request: MailRequest, label: Label) -> Parcel:
        """Return what to publish, its blobs stored; while Postgres is away, small content travels in every copy instead."""
        parcel = parcel_of(request, label)
        try:
            for blob in parcel.blobs:
                await self._blobs.put(_name_of(blob.key), blob.content)
        except DatabaseAway:
            if not all(blob.may_travel for blob in parcel.blobs):
                raise
            return inline_parcel_of(request, label)
        return parcel

    def _label(self, grant: Grant, request: MailRequest, submission: SubmissionId, accepted_at: float, *, repeat: bool) -> Label:
        stream = self._streams.choose(grant, request.recipients)
        return Label(submission, grant.tenant_id, grant.key_id, accepted_at, stream, repeat)

    async def _note(self, writing: Coroutine[Any, Any, None]) -> None:
        """Write to Redis what became of a reservation; without it, the reservation runs out and counts as doubtful: safe, only slower."""
        try:
            await writing
        except RedisAway as away:
            log.warning("idempotency_not_settled", why=str(away))


def _name_of(key: BlobKey) -> BlobName:
    return BlobName(key.tenant_id, key.submission_id, key.n, made_at(key.submission_id).date())
