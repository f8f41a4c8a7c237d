"""POST /v3/mail/send as HTTP has it: from the call to the desk, from what the desk says to an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import assert_never

import structlog
from prometheus_client import Histogram

from scaisend_api import answer
from scaisend_api.acceptance import Acceptance, Accepted, Away, Checked, Desk, Draft, Rejected, UnverifiedSender, draft_of
from scaisend_api.accounts import Accounts
from scaisend_api.answer import Answer
from scaisend_api.call import BodyTooLarge, BodyUnreadable, Call
from scaisend_api.grant import Grant, bearer_token
from scaisend_api.idempotency import OtherBody, Running
from scaisend_api.limits import Limits
from scaisend_api.problem import BAD_REQUEST
from scaisend_common.plumbing.postgres import DatabaseAway
from scaisend_common.plumbing.turns import Turns

LONG = 16 * 1024  # octets; with a thousand personalizations a body has 50,000, and is read in 3 ms
LARGE_AT_ONCE = 4  # large bodies in work at a time: some 100 MB each while they are stored
_KEY_LENGTH = 255

ACCEPT_SECONDS = Histogram(
    "scaisend_api_accept_seconds",
    "From the call to the broker's confirm, of accepted mail",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
log = structlog.get_logger()


class MailSend:
    """The resource. `now` in unix seconds."""

    def __init__(self, accounts: Accounts, desk: Desk, limits: Limits, now: Callable[[], float]) -> None:
        self._accounts = accounts
        self._desk = desk
        self._limits = limits
        self._now = now
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)
        self._turns = Turns()
        self._bulk = Turns()  # apart: a long transactional request waits for no bulk

    async def __call__(self, call: Call) -> Answer:
        """Answer a call: who it is comes first, what they want second."""
        if call.method != "POST":
            return answer.POST_ONLY
        try:
            grant = await self._accounts.authenticate(bearer_token(call.header(b"authorization")))
        except DatabaseAway as away:
            log.warning("mail_not_taken", why=str(away))
            return answer.UNAVAILABLE
        if refusal := _refusal(call, grant):
            return refusal
        assert grant is not None
        if not call.is_large:
            return await self._send(call, grant)
        async with self._large:
            return await self._send(call, grant)

    async def _send(self, call: Call, grant: Grant) -> Answer:
        began_at = perf_counter()
        key = call.header(b"idempotency-key") if b"idempotency-key" in call.headers else None
        if key is not None and not (0 < len(key) <= _KEY_LENGTH and key.isascii() and key.isprintable()):
            return answer.KEY_MALFORMED
        try:
            draft = await self._draft(call, grant, keyed=key is not None)
        except BodyTooLarge:
            return answer.TOO_LARGE
        except BodyUnreadable:
            return answer.mail_error(400, [BAD_REQUEST])
        except TimeoutError:
            return answer.TIMED_OUT
        if draft is None:
            return answer.NOT_JSON
        acceptance = await self._desk.accept(grant, draft, key)
        if isinstance(acceptance, Accepted):
            ACCEPT_SECONDS.observe(perf_counter() - began_at)
            log.debug("mail_accepted", message_id=acceptance.submission_id, tenant_id=grant.tenant_id)
        elif isinstance(acceptance, Away):
            log.warning("mail_not_taken", why=acceptance.why, tenant_id=grant.tenant_id)
        return answer_of(acceptance)

    async def _draft(self, call: Call, grant: Grant, *, keyed: bool) -> Draft | None:
        """Read the body and forget its bytes; None where there are none."""
        body = await call.body()
        if self._desk.gives_way(grant):
            await self._bulk.turn()
        elif len(body) > LONG:
            await self._turns.turn()
        return draft_of(body, self._now(), self._limits, keyed=keyed) if body else None


def answer_of(acceptance: Acceptance) -> Answer:
    """Return what HTTP says of what the desk said. Pure."""
    match acceptance:
        case Accepted(submission_id):
            return answer.accepted(submission_id)
        case Checked():
            return answer.SANDBOX
        case Rejected(problems):
            return answer.mail_error(400, problems)
        case UnverifiedSender():
            return answer.UNVERIFIED_SENDER
        case Away():
            return answer.UNAVAILABLE
        case Running():
            return answer.KEY_IN_USE
        case OtherBody():
            return answer.KEY_OF_OTHER_BODY
        case _:
            assert_never(acceptance)


def _refusal(call: Call, grant: Grant | None) -> Answer | None:
    """What is said before anybody looks at the body; None where somebody may."""
    if grant is None:
        is_basic = call.header(b"authorization")[:6].lower() == "basic "
        return answer.WRONG_CREDENTIALS if is_basic else answer.INVALID_GRANT
    if grant.is_suspended:
        return answer.CREDITS_EXCEEDED
    if not grant.allows("mail.send"):
        return answer.MAIL_FORBIDDEN
    media_type = call.header(b"content-type").partition(";")[0].strip().lower()
    return None if media_type == "application/json" else answer.NOT_JSON
