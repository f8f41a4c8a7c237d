"""Idempotency-Key: a request sent again is the same submission, and an id is never given to two (reliability S33).

In Redis under (tenant, key) for 24 hours: the id, a digest of the body, and how far it came. Reserved before anything is published:

    running   somebody publishes, until `until`; after that they died, and whether the broker has it is not known
    doubtful  it was published, and no confirm came
    done      the broker has it

Whoever takes over what is doubtful publishes again under the same id, marked as a repeat: its deliveries meet the ledger first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from time import time

import msgspec

from scaisend_common.mail.ids import SubmissionId
from scaisend_common.plumbing.redis import Redis

KEPT = timedelta(hours=24)
LEASE = 10.0  # seconds that one try may take
_TRIES = 5

_REPLACE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""
_REMOVE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class State(StrEnum):
    """How far a reserved submission came."""

    RUNNING = "running"
    DOUBTFUL = "doubtful"
    DONE = "done"


class Record(msgspec.Struct, frozen=True):
    """What is kept under a key; `until` in unix seconds. Written always in the same way, so that bytes can be compared."""

    state: State
    submission_id: SubmissionId
    digest: str
    until: float


@dataclass(frozen=True, slots=True)
class Reserved:
    """The caller is to publish this submission, as a repeat where it may have been before; then to `settle` it."""

    submission_id: SubmissionId
    repeat: bool
    key: str
    written: bytes


@dataclass(frozen=True, slots=True)
class Known:
    """The broker has it."""

    submission_id: SubmissionId


@dataclass(frozen=True, slots=True)
class Running:
    """Somebody is at it right now."""


@dataclass(frozen=True, slots=True)
class OtherBody:
    """The key was used with another body."""


Reservation = Reserved | Known | Running | OtherBody
_decode = msgspec.json.Decoder(Record).decode
_encode = msgspec.json.Encoder().encode


def judge(record: Record, digest: str, now: float) -> Known | Running | OtherBody | None:
    """Return what a record says to a request with this digest, or None where the request is to take it over. Pure."""
    if record.digest != digest:
        return OtherBody()
    match record.state:
        case State.DONE:
            return Known(record.submission_id)
        case State.RUNNING if now < record.until:
            return Running()
        case _:
            return None


class IdempotencyKeys:
    """The keys of all tenants. Every method raises RedisAway."""

    def __init__(self, redis: Redis, now: Callable[[], float] = time) -> None:
        self._redis = redis
        self._now = now

    async def reserve(self, tenant_id: str, key: str, digest: str, new_id: SubmissionId) -> Reservation:
        """Reserve a key for a submission, or say why not. A crash after it leaves the key running until its lease is over."""
        name = f"idempotency:{tenant_id}:{key}"
        for _ in range(_TRIES):
            fresh = self._running(new_id, digest)
            if await self._redis.set(name, fresh, nx=True, ex=KEPT):
                return Reserved(new_id, repeat=False, key=name, written=fresh)
            found = await self._redis.get(name)
            if found is None:  # it has just expired, or was given back
                continue
            record = _decode(found)
            told = judge(record, digest, self._now())
            if told is not None:
                return told
            mine = self._running(record.submission_id, digest)
            if await self._redis.eval(_REPLACE, 1, name, found, mine, int(KEPT.total_seconds())):
                return Reserved(record.submission_id, repeat=True, key=name, written=mine)
        return Running()

    async def settle(self, reserved: Reserved, state: State) -> None:
        """Write down how the try ended, unless somebody else has taken over."""
        record = msgspec.structs.replace(_decode(reserved.written), state=state, until=0.0)
        await self._redis.eval(_REPLACE, 1, reserved.key, reserved.written, _encode(record), int(KEPT.total_seconds()))

    async def give_back(self, reserved: Reserved) -> None:
        """Forget a reservation of which nothing was published: the broker said no."""
        if reserved.repeat:  # an earlier try may have been taken
            await self.settle(reserved, State.DOUBTFUL)
        else:
            await self._redis.eval(_REMOVE, 1, reserved.key, reserved.written)

    def _running(self, submission_id: SubmissionId, digest: str) -> bytes:
        return _encode(Record(State.RUNNING, submission_id, digest, self._now() + LEASE))
