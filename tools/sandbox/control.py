"""What a test or `make up` tells the small internet while it runs, over HTTP.

GET /dns                         every record: [{name, type, value}]
POST /dns                        one record or a list; replaces each (name, type) named. 204, or 400 and why
DELETE /dns?name=NAME&type=TYPE  forget a set; 204
GET /bounce, PUT /bounce         {"address": "host:port"}: where reports go
GET /counters                    {"kept", "verdicts": {"250": n, …}, "reports": {"sent", "given_up"},
                                      "sites": {site: {open, most, opened, accepted, refused}}}
GET /health                      200
"""

from __future__ import annotations

import msgspec
from aiohttp import web

from sandbox.mailbox import Mailbox
from sandbox.names import BadRecord, Names, Record
from sandbox.receipts import Receipts
from sandbox.reporter import Reporter


class Bounce(msgspec.Struct):
    """The bounce server."""

    address: str


class Control:
    """The handlers."""

    def __init__(self, names: Names, mailbox: Mailbox, receipts: Receipts, reporter: Reporter) -> None:
        self._names = names
        self._mailbox = mailbox
        self._receipts = receipts
        self._reporter = reporter

    def routes(self) -> list[web.RouteDef]:
        """Return what the application serves."""
        return [
            web.get("/dns", self._records),
            web.post("/dns", self._publish),
            web.delete("/dns", self._withdraw),
            web.get("/bounce", self._bounce),
            web.put("/bounce", self._set_bounce),
            web.get("/counters", self._counters),
            web.get("/health", self._health),
        ]

    async def _records(self, _request: web.Request) -> web.Response:
        return _json(list(self._names.records()))

    async def _publish(self, request: web.Request) -> web.Response:
        try:
            self._names.publish(read_records(await request.read()))
        except BadRecord as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        return web.Response(status=204)

    async def _withdraw(self, request: web.Request) -> web.Response:
        self._names.withdraw(request.query.get("name", ""), request.query.get("type", ""))
        return web.Response(status=204)

    async def _bounce(self, _request: web.Request) -> web.Response:
        return _json(Bounce(self._reporter.address))

    async def _set_bounce(self, request: web.Request) -> web.Response:
        try:
            self._reporter.address = msgspec.json.decode(await request.read(), type=Bounce).address
        except msgspec.DecodeError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        return web.Response(status=204)

    async def _counters(self, _request: web.Request) -> web.Response:
        reports = {"sent": self._reporter.sent, "given_up": self._reporter.given_up}
        return _json({"kept": len(self._mailbox), "verdicts": self._receipts.verdicts, "reports": reports, "sites": self._receipts.sites})

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")


def read_records(octets: bytes) -> list[Record]:
    """Read one record or a list of them. Raises BadRecord."""
    try:
        read = msgspec.json.decode(octets, type=list[Record] | Record)
    except msgspec.DecodeError as error:
        raise BadRecord(str(error)) from error
    return [read] if isinstance(read, Record) else read


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
