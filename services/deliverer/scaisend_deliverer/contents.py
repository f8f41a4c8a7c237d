"""Contents: what a job carries itself, or a blob that is fetched and decoded once and kept while it is in use."""

from __future__ import annotations

from scaisend_common.mail.ids import made_at
from scaisend_common.messages import BlobKey, Content, ContentRef, decode_content
from scaisend_common.plumbing.blobs import BlobName, BlobStore
from scaisend_common.plumbing.turns import Turns
from scaisend_deliverer.kept import Kept

KEEP_BYTES = 32 * 1024 * 1024


class Contents:
    """`blobs` need keep nothing themselves."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._kept: Kept[BlobKey, Content] = Kept(KEEP_BYTES)
        self._turns = Turns()

    async def of(self, content: Content | ContentRef) -> Content:
        """Return the content itself. Raises BlobMissing (the job is to be parked), DatabaseAway."""
        if isinstance(content, Content):
            return content
        kept = self._kept.get(content.key)
        if kept is None:
            kept = await self._fetched(content)
            await self._turns.turn()  # all who waited would write and sign at once
        return kept

    async def _fetched(self, content: ContentRef) -> Content:
        key = content.key
        encoded = await self._blobs.get(BlobName(key.tenant_id, key.submission_id, key.n, made_at(key.submission_id).date()))
        if (kept := self._kept.get(key)) is not None:  # another who waited was first
            return kept
        fetched = decode_content(encoded)
        self._kept.put(key, fetched, content.size)
        return fetched
