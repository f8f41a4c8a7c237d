"""Into which stream a submission goes: transactional mail never waits behind bulk."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from scaisend_api.grant import Grant
from scaisend_api.throttle import TokenBucket
from scaisend_common.messages import Stream

KEYS_MOST = 50_000


class Streams:
    """Bulk: more than `bulk_above` recipients in one request, or a key beyond its transactional rate (recipients a second, and at once)."""

    def __init__(self, *, bulk_above: int, rate: float, burst: float, now: Callable[[], float] = monotonic) -> None:
        self._bulk_above = bulk_above
        self._rate, self._burst = rate, burst
        self._now = now
        self._buckets: dict[str, TokenBucket] = {}

    def choose(self, grant: Grant, recipients: int) -> Stream:
        """Return the stream of a submission; a key that is set to one stays in it."""
        if grant.stream is not None:
            return grant.stream
        if recipients > self._bulk_above:
            return Stream.BULK
        now = self._now()
        bucket = self._buckets.get(grant.key_id)
        if bucket is None:
            if len(self._buckets) >= KEYS_MOST:
                self._buckets.clear()
            bucket = self._buckets[grant.key_id] = TokenBucket(self._rate, self._burst, self._burst, now)
        return Stream.TRANSACTIONAL if bucket.take(recipients, now) else Stream.BULK

    def expects_bulk(self, grant: Grant) -> bool:
        """Tell whether a key's next submission is bulk, whatever is in it."""
        if grant.stream is not None:
            return grant.stream is Stream.BULK
        bucket = self._buckets.get(grant.key_id)
        return bucket is not None and not bucket.has(1, self._now())
