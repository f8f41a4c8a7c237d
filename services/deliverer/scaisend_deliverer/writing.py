"""Writing a mail for a session: composed for what its server offers, signed, with its envelope."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from scaisend_common.mail.ids import message_id
from scaisend_common.mail.verdict import Bounced, BounceKind
from scaisend_common.mail.verp import return_path_local
from scaisend_common.messages import BlobKey, Content, ContentRef, Job
from scaisend_deliverer.compose import CannotCompose, Composed, compose_message
from scaisend_deliverer.compose_body import Body, compose_body
from scaisend_deliverer.envelope import Envelope
from scaisend_deliverer.extensions import Extensions
from scaisend_deliverer.kept import Kept
from scaisend_deliverer.senders import Sender
from scaisend_deliverer.sign import hash_of_body, sign

KEEP_BYTES = 32 * 1024 * 1024
LARGE = 1024 * 1024  # bytes of content from which on a thread does it
MOST_LARGE = 4  # at once: each takes about four times its content
_ROOM_FOR_SMALL = nullcontext()
PATIENCE = 20.0  # seconds for which one keeps its place on its path while others are handed over


class NoRoom(Exception):
    """Too many large mails are under way: this one waits."""


@dataclass(frozen=True, slots=True)
class SharedBody:
    """A composed body with its DKIM body hash."""

    body: Body
    hash: bytes


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as it is handed over."""

    envelope: Envelope
    wire: tuple[bytes, bytes]  # header and body


class Writer:
    """`return_path_keys` authenticate return paths, the first one new ones."""

    def __init__(self, return_path_keys: Mapping[str, bytes]) -> None:
        self._return_path_keys = return_path_keys
        self._bodies: Kept[tuple[BlobKey, Extensions], SharedBody] = Kept(KEEP_BYTES)
        self._large = asyncio.Semaphore(MOST_LARGE)

    def room(self, job: Job) -> AbstractAsyncContextManager[None]:
        """Return what to hold while a mail is written and handed over: few large ones are in memory at once. Entering raises NoRoom."""
        return self._large_room() if _is_large(job) else _ROOM_FOR_SMALL

    @asynccontextmanager
    async def _large_room(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._large.acquire()
        except TimeoutError:
            raise NoRoom(f"{MOST_LARGE} mails of {LARGE} octets or more are under way") from None
        try:
            yield
        finally:
            self._large.release()

    async def write(self, job: Job, content: Content, sender: Sender, extensions: Extensions, now: datetime) -> Mail | Bounced:
        """Return the mail of a job, or that this server can never be given it."""
        if not (job.rcpt.is_ascii or extensions.smtp_utf8):
            return Bounced("the recipient's address is not ASCII, and its server offers no SMTPUTF8", "5.6.7", BounceKind.BLOCKED)
        if isinstance(job.content, ContentRef) and not job.head.substitutions:
            shared = await self._shared_body(job.content, content, extensions)
            return self._write(job, _compose(job, shared.body, extensions), sender, now, shared.hash)
        if _is_large(job):
            body = await asyncio.to_thread(compose_body, content, job.head.substitutions, extensions)
        else:
            body = compose_body(content, job.head.substitutions, extensions)
        return self._write(job, _compose(job, body, extensions), sender, now, None)

    def _write(
        self, job: Job, composed: Composed | CannotCompose, sender: Sender, now: datetime, body_hash: bytes | None
    ) -> Mail | Bounced:
        if isinstance(composed, CannotCompose):
            return Bounced(composed.why, composed.status, BounceKind.BLOCKED)
        reverse_path = f"{return_path_local(self._return_path_keys, sender.tenant_number, job.delivery_id)}@{sender.return_path_host}"
        needs_utf8 = composed.needs_smtp_utf8 or not job.rcpt.is_ascii
        needs_8bit = composed.needs_8bit_mime or composed.needs_smtp_utf8  # header fields in UTF-8 are 8-bit as well (RFC 6531 3.6)
        envelope = Envelope(reverse_path, str(job.rcpt), needs_8bit, needs_utf8)
        return Mail(envelope, composed.wire(sign(composed, sender.key, now, body_hash=body_hash)))

    async def _shared_body(self, reference: ContentRef, content: Content, extensions: Extensions) -> SharedBody:
        """Return the body of a content that deliveries share, composed and hashed once."""
        name = reference.key, extensions
        shared = self._bodies.get(name)
        if shared is None:
            make = partial(_make_shared, content, extensions)
            shared = await asyncio.to_thread(make) if reference.size >= LARGE else make()
            self._bodies.put(name, shared, len(shared.body.content))
        return shared


def _is_large(job: Job) -> bool:
    return isinstance(job.content, ContentRef) and job.content.size >= LARGE


def _make_shared(content: Content, extensions: Extensions) -> SharedBody:
    body = compose_body(content, {}, extensions)
    return SharedBody(body, hash_of_body(body.content))


def _compose(job: Job, body: Body, extensions: Extensions) -> Composed | CannotCompose:
    identity = message_id(job.delivery_id, job.head.sender.address.domain)
    date = datetime.fromtimestamp(int(max(job.accepted_at, job.origin.send_at or 0)), UTC)
    return compose_message(job.head, body, extensions, message_id=identity, date=date)
