"""Blobs: large content by reference, written once, read by whoever delivers it.

A blob is named by tenant, day, submission and number; it never changes, so readers keep it in memory, least recently used first out,
up to a number of bytes. Two readers of one blob share one fetch.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import date
from typing import NamedTuple

from scaisend_common.plumbing.blob_store import insert_blob, read_blob
from scaisend_common.plumbing.flights import Flights
from scaisend_common.plumbing.postgres import Pool

CACHE_BYTES = 64 * 1024 * 1024


class BlobName(NamedTuple):
    """What names a blob; `day` is the UTC day of the submission id."""

    tenant_id: str
    submission_id: str
    n: int
    day: date


class BlobMissing(Exception):
    """No such blob: expired, or never written. The message that refers to it is to be parked, never bounced."""


class BlobStore:
    """Blobs in Postgres. `cache_bytes` bounds what a reader keeps; 0 for writers."""

    def __init__(self, pool: Pool, *, cache_bytes: int = CACHE_BYTES) -> None:
        self._pool = pool
        self._cache_bytes = cache_bytes
        self._kept: OrderedDict[BlobName, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._flights: Flights[BlobName, bytes] = Flights()

    async def put(self, name: BlobName, content: bytes) -> None:
        """Write a blob; once more is harmless. Raises DatabaseAway. A crash after it, before anything refers to it, leaves it to expire."""
        await insert_blob(self._pool, name.tenant_id, name.day, name.submission_id, name.n, content)

    async def get(self, name: BlobName) -> bytes:
        """Return the content. Raises BlobMissing, DatabaseAway."""
        content = self._kept.get(name)
        if content is not None:
            self._kept.move_to_end(name)
            return content
        return await self._flights.join(name, self._fetch)

    async def _fetch(self, name: BlobName) -> bytes:
        content = await read_blob(self._pool, name.tenant_id, name.day, name.submission_id, name.n)
        if content is None:
            raise BlobMissing(f"no blob {name.submission_id}/{name.n} of {name.day}")
        self._keep(name, content)
        return content

    def _keep(self, name: BlobName, content: bytes) -> None:
        if len(content) > self._cache_bytes:
            return
        self._kept[name] = content
        self._kept_bytes += len(content)
        while self._kept_bytes > self._cache_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= len(oldest)

    def __repr__(self) -> str:
        return f"<BlobStore: {len(self._kept)} kept, {self._kept_bytes} bytes>"
