"""The API as an ASGI application: which resource a path names, who may use it, and what all answers have in common.

mail/send is called with no framework in between: the rest of the request's cost is the broker's confirm.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from prometheus_client import Counter

from scaisend_api import answer
from scaisend_api.accounts import Accounts
from scaisend_api.answer import Answer, Headers
from scaisend_api.call import Call, ClientGone, Message
from scaisend_api.grant import Grant, bearer_token
from scaisend_api.mail_send import MailSend
from scaisend_api.messages import Messages, unavailable
from scaisend_api.webhook_settings import WebhookSettings
from scaisend_common.plumbing.postgres import DatabaseAway

Scope = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]
Resource = Callable[[Grant, Call], Awaitable[Answer]]  # answers somebody who may ask; may raise DatabaseAway

_MAIL_SEND = "/v3/mail/send"
_MESSAGES = "/v3/messages/"
_WEBHOOK = "/v3/user/webhooks/event/settings"

REQUESTS = Counter("scaisend_api_requests", "Requests answered", ["route", "status"])
log = structlog.get_logger()


class Application:
    """Called by the HTTP server once per request."""

    def __init__(self, accounts: Accounts, mail: MailSend, messages: Messages, webhook: WebhookSettings) -> None:
        self._accounts = accounts
        self._mail = mail
        self._fixed: dict[str, tuple[str, dict[str, tuple[str, Resource]]]] = {
            _WEBHOOK: (
                "webhook_settings",
                {
                    "GET": ("user.webhooks.event.settings.read", webhook.read),
                    "PATCH": ("user.webhooks.event.settings.update", webhook.change),
                },
            ),
            f"{_WEBHOOK}/signed": (
                "webhook_signing",
                {
                    "GET": ("user.webhooks.event.settings.read", webhook.read_signing),
                    "PATCH": ("user.webhooks.event.settings.update", webhook.change_signing),
                },
            ),
        }
        self._message: dict[str, tuple[str, Resource]] = {
            "GET": ("messages.read", lambda grant, call: messages.read(grant, call.path.removeprefix(_MESSAGES)))
        }
        self._counters: dict[tuple[str, int], Counter] = {}
        self.is_stopping = False

    async def __call__(self, scope: Scope, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
        """Answer one request. Whatever goes wrong in here is a 500 with no word of what it was, and a line in the log."""
        call = Call(scope["method"], scope["path"], dict(scope["headers"]), receive)
        try:
            route, result = await self._answer(call)
        except ClientGone:
            return
        except Exception:
            log.exception("request_failed", method=call.method, path=call.path)
            route, result = "failed", answer.INTERNAL
        await call.drain()
        self._count(route, result.status)
        common = answer.MAIL_HEADERS if route == "mail_send" else answer.OTHER_HEADERS
        length = (b"content-length", b"%d" % len(result.body))
        headers = [length, *self._connection(scope, call), *common, *result.headers]
        await send({"type": "http.response.start", "status": result.status, "headers": headers})
        await send({"type": "http.response.body", "body": result.body})

    async def _answer(self, call: Call) -> tuple[str, Answer]:
        if call.path == _MAIL_SEND:
            return "mail_send", await self._mail(call)
        if call.path in self._fixed:
            route, methods = self._fixed[call.path]
            return route, await self._guarded(call, methods)
        if call.path.startswith(_MESSAGES) and "/" not in call.path.removeprefix(_MESSAGES):
            return "message", await self._guarded(call, self._message)
        return "other", answer.NOT_FOUND

    async def _guarded(self, call: Call, methods: dict[str, tuple[str, Resource]]) -> Answer:
        """Answer with the resource, if the caller may use it so."""
        if call.method not in methods:
            return answer.error(405, "method not allowed", None, (b"allow", ", ".join(methods).encode()))
        scope, resource = methods[call.method]
        try:
            grant = await self._accounts.authenticate(bearer_token(call.header(b"authorization")))
            if grant is None:
                return answer.AUTHORIZATION_REQUIRED
            if not grant.allows(scope):
                return answer.FORBIDDEN
            return await resource(grant, call)
        except DatabaseAway as away:
            log.warning("request_not_answered", path=call.path, why=str(away))
            return unavailable()

    def _connection(self, scope: Scope, call: Call) -> Headers:
        """`Connection: keep-alive` as SendGrid has it, unless the server is going to close."""
        is_closing = self.is_stopping or scope["http_version"] != "1.1" or b"close" in call.headers.get(b"connection", b"").lower()
        return () if is_closing else ((b"connection", b"keep-alive"),)

    def _count(self, route: str, status: int) -> None:
        counter = self._counters.get((route, status))
        if counter is None:
            counter = self._counters[route, status] = REQUESTS.labels(route, str(status))
        counter.inc()
