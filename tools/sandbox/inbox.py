"""The inbox over HTTP: pages for people, JSON for programs.

GET /                        the list as a page; ?to=ADDRESS
GET /mail/{id}               one mail as a page; /mail/{id}/html is its HTML part
GET /messages?to=ADDRESS     newest first: [{id, from, to, cc, subject, message_id, received_at, tls, dkim, dkim_domain, size, envelope}];
                             limit=N (100 where no address is given)
GET /messages/{id}/raw       the octets as they came, without transparency dots
DELETE /messages             forget all
"""

from __future__ import annotations

import asyncio

import msgspec
from aiohttp import web

from sandbox.mail import Mail
from sandbox.mailbox import Mailbox
from sandbox.names import Names
from sandbox.pages import FRAME_POLICY, PAGE_POLICY, list_page, mail_page
from sandbox.summary import Summary, content_of, summarize

_LIMIT = 100


class Inbox:
    """The handlers; summaries are kept while their mail is, but for a failed signature, whose key may be published yet."""

    def __init__(self, mailbox: Mailbox, names: Names) -> None:
        self._mailbox = mailbox
        self._names = names
        self._summaries: dict[str, Summary] = {}

    def routes(self) -> list[web.RouteDef]:
        """Return what the application serves."""
        return [
            web.get("/", self._list_page),
            web.get("/mail/{id}", self._mail_page),
            web.get("/mail/{id}/html", self._frame),
            web.get("/messages", self._list),
            web.get("/messages/{id}/raw", self._raw),
            web.delete("/messages", self._clear),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        to, limit = _recipient(request), request.query.get("limit", "")
        if limit and not limit.isdigit():
            raise web.HTTPBadRequest(text="limit is a number")
        most = int(limit) if limit else None if to else _LIMIT
        return web.Response(body=msgspec.json.encode(await self._newest(to, most)), content_type="application/json")

    async def _list_page(self, request: web.Request) -> web.Response:
        to = _recipient(request)
        return _html(list_page(await self._newest(to, _LIMIT), to, len(self._mailbox)), PAGE_POLICY)

    async def _mail_page(self, request: web.Request) -> web.Response:
        mail_id, mail = self._find(request)
        (summary,) = await self._summarize([(mail_id, mail)])
        return _html(mail_page(summary, await asyncio.to_thread(content_of, mail)), PAGE_POLICY)

    async def _frame(self, request: web.Request) -> web.Response:
        _, mail = self._find(request)
        return _html((await asyncio.to_thread(content_of, mail)).html, FRAME_POLICY)

    async def _raw(self, request: web.Request) -> web.Response:
        _, mail = self._find(request)
        return web.Response(body=mail.content, content_type="text/plain", headers={"X-Content-Type-Options": "nosniff"})

    async def _clear(self, _request: web.Request) -> web.Response:
        self._mailbox.clear()
        self._summaries.clear()
        return web.Response(status=204)

    def _find(self, request: web.Request) -> tuple[str, Mail]:
        mail_id = request.match_info["id"]
        if mail := self._mailbox.get(mail_id):
            return mail_id, mail
        raise web.HTTPNotFound(text="No such mail")

    async def _newest(self, to: str, limit: int | None) -> list[Summary]:
        return await self._summarize(self._mailbox.newest(to=to, limit=limit))

    async def _summarize(self, mails: list[tuple[str, Mail]]) -> list[Summary]:
        fresh = [(mail_id, mail) for mail_id, mail in mails if mail_id not in self._summaries]
        made = await asyncio.to_thread(lambda: {mail_id: summarize(mail_id, mail, self._names) for mail_id, mail in fresh}) if fresh else {}
        self._summaries |= {mail_id: summary for mail_id, summary in made.items() if summary.dkim != "fail"}
        shown = [made.get(mail_id) or self._summaries[mail_id] for mail_id, _ in mails if mail_id in made or mail_id in self._summaries]
        if len(self._summaries) > 2 * len(self._mailbox) + _LIMIT:
            self._summaries = {mail_id: summary for mail_id, summary in self._summaries.items() if self._mailbox.get(mail_id)}
        return shown


def _recipient(request: web.Request) -> str:
    """The address asked for; a + that nobody encoded came as a space, which no address of ours has."""
    return request.query.get("to", "").replace(" ", "+")


def _html(text: str, policy: str) -> web.Response:
    return web.Response(
        text=text, content_type="text/html", headers={"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"}
    )
