"""The ledger of attempts, in Redis: who has an attempt, what became of it, and what must not be sent any more.

    claim:<delivery>:<attempt>   the owner's id, then over it the outcome (0x01, MessagePack); 7 days, an hour once that is published
    owner:<id>                   lives 15 s, refreshed every 5 while its process does
    stop:…                       scaisend_common.stops
    ledger:epoch                 unix time at which this ledger began; missing: it was lost, and its stops are not there yet

Many claims and outcomes travel in one call. A claim without an outcome whose owner is gone is an attempt in doubt.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import chain
from typing import NamedTuple, cast

from prometheus_client import Histogram
from structlog import get_logger

from scaisend_common.messages import Job, decoder, encode
from scaisend_common.plumbing.redis import Redis, RedisAway
from scaisend_deliverer.batches import Batches
from scaisend_deliverer.earlier import OUTCOME_SECONDS, Earlier, Held, InDoubt, Untried
from scaisend_deliverer.outcome import Outcome
from scaisend_deliverer.permit import Permit, permit_of, stop_keys, stop_of

log = get_logger()

CLAIM_SECONDS = 7 * 86400  # longer than any outage of the broker that mail survives
OWNER_SECONDS = 15
REFRESH_SECONDS = 5.0
HOLDS_SECONDS = 10.0  # after a refresh; five less than others need to take us for dead
MOST = 200
CLAIM_LINGER = 0.004  # the first flight to a server takes as long, where there is no other to wait for
RECORD_LINGER = 0.01  # the path is free meanwhile
SHORTEN_LINGER = 0.5
EPOCH = "ledger:epoch"
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1, 2.5)
LATENCY = Histogram("scaisend_ledger_seconds", "How long a call to the ledger took", ["call"], buckets=BUCKETS)

# One command for many attempts: a command takes 50 µs here, and some in Redis for each attempt.
# KEYS: claims, outcomes, the epoch, stops; ARGV: the owner, seconds, how many claims, the outcomes.
_WRITE = """
local priors, claims, outcomes = {}, tonumber(ARGV[3]), #ARGV - 3
for i = 1, claims do
  priors[i] = not redis.call('SET', KEYS[i], ARGV[1], 'NX', 'EX', ARGV[2]) and redis.call('GET', KEYS[i])
end
for i = 1, outcomes do redis.call('SET', KEYS[claims + i], ARGV[3 + i], 'EX', ARGV[2]) end
return {priors, redis.call('MGET', unpack(KEYS, claims + outcomes + 1))}
"""
_SHORTEN = "for i = 1, #KEYS do redis.call('EXPIRE', KEYS[i], ARGV[1]) end"
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"

_decode_outcome: Callable[[bytes], Outcome] = decoder(Outcome)


class _Concluded(NamedTuple):
    key: str
    outcome: bytes


def claim_key(job: Job) -> str:
    """The key of a job's attempt."""
    return f"claim:{job.delivery_id}:{job.attempt}"


class Ledger:
    """`owner` names this process; `run` keeps it alive. Everything raises RedisAway where the ledger cannot be had."""

    def __init__(self, redis: Redis, owner: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._owner = owner
        self._clock = clock
        self._refreshed_at = float("-inf")
        self._stopped = asyncio.Event()
        self._writes: Batches[Job | _Concluded, Permit | None] = Batches(self._write, most=MOST, linger=CLAIM_LINGER)
        self._stops: Batches[Job, str | None] = Batches(self._stopped_ones, most=MOST, linger=CLAIM_LINGER)
        self._shortened: Batches[str, None] = Batches(self._shorten, most=MOST, linger=SHORTEN_LINGER)

    def holds(self) -> bool:
        """Others surely take this process for alive, and leave alone what it has claimed."""
        return self._clock() - self._refreshed_at < HOLDS_SECONDS

    def claim(self, job: Job) -> asyncio.Future[Permit]:
        """Claim the attempt and look whether it is stopped. At that instant nobody else sends it.

        A crash before leaves it untried; one after leaves it in doubt until its outcome is recorded.
        """
        return cast("asyncio.Future[Permit]", self._writes.add(job))

    def record(self, job: Job, outcome: Outcome) -> asyncio.Future[None]:
        """Write the outcome over the claim. At that instant the attempt is known: a repeat publishes the outcome and sends nothing."""
        return cast("asyncio.Future[None]", self._writes.add(_Concluded(claim_key(job), encode(outcome)), linger=RECORD_LINGER))

    def stopped(self, job: Job) -> asyncio.Future[str | None]:
        """Return why a job must not be tried again, or None. For those that were not sent: a refused one never asks for its permit."""
        return self._stops.add(job)

    def shorten(self, job: Job) -> None:
        """What follows from the outcome is published: it need not be known for long. If this is lost, it is known for a week."""
        self._shortened.add(claim_key(job))

    async def release(self, job: Job) -> None:
        """Give up a claim of ours for an attempt that was not made."""
        await self._redis.eval(_RELEASE, 1, claim_key(job), self._owner)

    async def earlier(self, job: Job) -> Earlier:
        """Return what is known of an attempt that somebody may have had. A lost ledger that was not refilled yet cannot be asked."""
        value, epoch = cast("list[bytes | None]", await self._redis.mget(claim_key(job), EPOCH))
        if epoch is None:
            raise RedisAway("the ledger began anew and was not refilled yet")
        if value is not None:
            return await self.meaning(value)
        if job.routed_at < float(epoch):
            return InDoubt("the ledger was lost since it was routed")
        return Untried()

    async def meaning(self, value: bytes) -> Earlier:
        """Return what the value of a claim says. A claim of our own that nobody here is working on is in doubt as well."""
        if value[:1] == b"\x01":
            return _decode_outcome(value)
        owner = value.decode()
        if owner != self._owner and await self._redis.exists(f"owner:{owner}"):
            return Held(owner)
        return InDoubt("the deliverer that had it is gone")

    async def run(self) -> None:
        """Keep the owner alive until `stop`."""
        while not self._stopped.is_set():
            await self.refresh()
            try:
                async with asyncio.timeout(REFRESH_SECONDS):
                    await self._stopped.wait()
            except TimeoutError:
                continue

    async def stop(self) -> None:
        """Write what is left to write; the owner lives on for a few seconds, so that nobody takes its last attempts for abandoned."""
        await self._writes.drained()
        self._stopped.set()

    async def refresh(self) -> None:
        """Say that this process lives."""
        began = self._clock()
        try:
            await self._redis.set(f"owner:{self._owner}", "1", ex=OWNER_SECONDS)
            self._refreshed_at = began
        except RedisAway as away:
            log.warning("ledger_away", why=str(away))

    async def _write(self, items: list[Job | _Concluded]) -> list[Permit | None]:
        """Claim attempts, and write outcomes over their claims."""
        jobs = [each for each in items if isinstance(each, Job)]
        outcomes = [each for each in items if isinstance(each, _Concluded)]
        asked = [stop_keys(job) for job in jobs]
        stops = list(dict.fromkeys(chain.from_iterable(asked)))  # many jobs of a batch are one tenant's
        keys = [*map(claim_key, jobs), *(key for key, _ in outcomes), EPOCH, *stops]
        values = [value for _, value in outcomes]
        with LATENCY.labels("write").time():
            answer = await self._redis.call("EVAL", _WRITE, len(keys), *keys, self._owner, CLAIM_SECONDS, len(jobs), *values)
        priors, (epoch, *found) = cast("tuple[list[bytes | None], list[bytes | None]]", answer)
        stands = dict(zip(stops, found, strict=True))
        permits = iter(
            permit_of(job, prior, [stands[stop] for stop in its], knows_stops=epoch is not None, holds=self.holds)
            for job, prior, its in zip(jobs, priors, asked, strict=True)
        )
        return [next(permits) if isinstance(each, Job) else None for each in items]

    async def _stopped_ones(self, jobs: list[Job]) -> list[str | None]:
        values = cast("list[bytes | None]", await self._redis.mget([key for job in jobs for key in stop_keys(job)]))
        return [stop_of(job, values[at : at + 4]) for job, at in zip(jobs, range(0, len(values), 4), strict=True)]

    async def _shorten(self, keys: list[str]) -> list[None]:
        await self._redis.call("EVAL", _SHORTEN, len(keys), *keys, OUTCOME_SECONDS)
        return [None] * len(keys)

    def __repr__(self) -> str:
        return f"<Ledger of {self._owner}: {'holds' if self.holds() else 'does not hold'}>"
