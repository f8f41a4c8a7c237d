"""The ledger of attempts, in Redis: who has an attempt, what became of it, and what must not be sent any more.

    claim:<delivery>:<attempt>   the owner's id, then over it the outcome (0x01, MessagePack); 7 days, an hour once that is published
    owner:<id>                   lives 15 s, refreshed every 5 while its process does
    stop:…                       scaisend_common.stops
    ledger:epoch                 unix time at which this ledger began; missing: it was lost, and its stops are not there yet

Many claims, and many outcomes, travel in one call. A claim without an outcome whose owner is gone is an attempt in doubt.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import chain
from typing import cast

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

# One command for many attempts: a command takes 50 µs here, and some in Redis for each attempt. KEYS: claims, the epoch, stops.
_CLAIM = """
local priors, claims = {}, tonumber(ARGV[3])
for i = 1, claims do
  priors[i] = not redis.call('SET', KEYS[i], ARGV[1], 'NX', 'EX', ARGV[2]) and redis.call('GET', KEYS[i])
end
return {priors, redis.call('MGET', unpack(KEYS, claims + 1))}
"""
_RECORD = "for i = 1, #KEYS do redis.call('SET', KEYS[i], ARGV[i + 1], 'EX', ARGV[1]) end"
_SHORTEN = "for i = 1, #KEYS do redis.call('EXPIRE', KEYS[i], ARGV[1]) end"
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"

_decode_outcome: Callable[[bytes], Outcome] = decoder(Outcome)


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
        self._claims: Batches[Job, Permit] = Batches(self._claim, most=MOST, linger=CLAIM_LINGER)
        self._stops: Batches[Job, str | None] = Batches(self._stopped_ones, most=MOST, linger=CLAIM_LINGER)
        self._shortened: Batches[str, None] = Batches(self._shorten, most=MOST, linger=SHORTEN_LINGER)
        self._records: Batches[tuple[str, bytes], None] = Batches(self._record, most=MOST, linger=RECORD_LINGER)

    def holds(self) -> bool:
        """Others surely take this process for alive, and leave alone what it has claimed."""
        return self._clock() - self._refreshed_at < HOLDS_SECONDS

    def claim(self, job: Job) -> asyncio.Future[Permit]:
        """Claim the attempt and look whether it is stopped. At that instant nobody else sends it.

        A crash before leaves it untried; one after leaves it in doubt until its outcome is recorded.
        """
        return self._claims.add(job)

    def record(self, job: Job, outcome: Outcome) -> asyncio.Future[None]:
        """Write the outcome over the claim. At that instant the attempt is known: a repeat publishes the outcome and sends nothing."""
        return self._records.add((claim_key(job), encode(outcome)))

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
        await self._records.drained()
        self._stopped.set()

    async def refresh(self) -> None:
        """Say that this process lives."""
        began = self._clock()
        try:
            await self._redis.set(f"owner:{self._owner}", "1", ex=OWNER_SECONDS)
            self._refreshed_at = began
        except RedisAway as away:
            log.warning("ledger_away", why=str(away))

    async def _claim(self, jobs: list[Job]) -> list[Permit]:
        claims, asked = [claim_key(job) for job in jobs], [stop_keys(job) for job in jobs]
        stops = list(dict.fromkeys(chain.from_iterable(asked)))  # many jobs of a batch are one tenant's
        keys = [*claims, EPOCH, *stops]
        with LATENCY.labels("claim").time():
            answer = await self._redis.call("EVAL", _CLAIM, len(keys), *keys, self._owner, CLAIM_SECONDS, len(claims))
        priors, (epoch, *values) = cast("tuple[list[bytes | None], list[bytes | None]]", answer)
        found = dict(zip(stops, values, strict=True))
        return [
            permit_of(job, prior, [found[stop] for stop in its], knows_stops=epoch is not None, holds=self.holds)
            for job, prior, its in zip(jobs, priors, asked, strict=True)
        ]

    async def _stopped_ones(self, jobs: list[Job]) -> list[str | None]:
        values = cast("list[bytes | None]", await self._redis.mget([key for job in jobs for key in stop_keys(job)]))
        return [stop_of(job, values[at : at + 4]) for job, at in zip(jobs, range(0, len(values), 4), strict=True)]

    async def _record(self, outcomes: list[tuple[str, bytes]]) -> list[None]:
        with LATENCY.labels("record").time():
            keys, values = zip(*outcomes, strict=True)
            await self._redis.call("EVAL", _RECORD, len(keys), *keys, CLAIM_SECONDS, *values)
        return [None] * len(outcomes)

    async def _shorten(self, keys: list[str]) -> list[None]:
        await self._redis.call("EVAL", _SHORTEN, len(keys), *keys, OUTCOME_SECONDS)
        return [None] * len(keys)

    def __repr__(self) -> str:
        return f"<Ledger of {self._owner}: {'holds' if self.holds() else 'does not hold'}>"
