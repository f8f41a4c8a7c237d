"""The small internet as one object: opens everything, closes everything."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from aiohttp import web

from sandbox.certificate import server_context
from sandbox.control import Control, read_records
from sandbox.desk import FrontDesk
from sandbox.dns_server import DnsServer
from sandbox.inbox import Inbox
from sandbox.mailbox import Mailbox
from sandbox.mx_listeners import MxListeners
from sandbox.names import Names
from sandbox.receipts import Receipts
from sandbox.reporter import Reporter
from sandbox.zones import POSTFIX_ADDRESS, mx_hosts, records


@dataclass(frozen=True, slots=True)
class Options:
    """Port 0 takes a free one. `bounce` is the host:port of the server that reports go to, empty while there is none."""

    host: str = "127.0.0.1"
    dns_port: int = 0
    smtp_port: int = 0
    http_port: int = 0
    sites: int = 8
    postfix_address: str = POSTFIX_ADDRESS
    bounce: str = ""
    records: Path | None = None
    receipts: Path | None = None
    keep: int = 5000


@dataclass(frozen=True, slots=True)
class Places:
    """Where to find it: `dns` as host:port, the one port of all MX hosts, the inbox's URL without a slash at its end."""

    dns: str
    smtp_port: int
    inbox_url: str


class Sandbox:
    """Runs while its `async with` block does. Raises OSError when a port is taken, BadRecord for a wrong file of records."""

    places: Places

    def __init__(self, options: Options | None = None) -> None:
        self.options = options = options or Options()
        self.names = Names(records(options.sites, options.postfix_address))
        self.mailbox = Mailbox(options.keep)
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Sandbox:
        async with AsyncExitStack() as stack:
            self.places = await self._start(stack)
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._open.aclose()

    async def _start(self, stack: AsyncExitStack) -> Places:
        options = self.options
        if options.records:
            self.names.publish(read_records(options.records.read_bytes()))
        receipts = Receipts(options.receipts)
        stack.callback(receipts.close)
        self.reporter = Reporter(options.bounce)
        stack.push_async_callback(self.reporter.close)
        dns = DnsServer(self.names)
        stack.push_async_callback(dns.close)
        await dns.listen(options.host, options.dns_port)
        hosts = MxListeners(mx_hosts(options.sites), FrontDesk(self.mailbox, receipts, self.reporter), server_context("mx.tls.test"))
        stack.push_async_callback(hosts.close)
        await hosts.listen(options.smtp_port)
        http_port = await self._serve(stack, receipts)
        return Places(f"{options.host}:{dns.port}", hosts.port, f"http://{options.host}:{http_port}")

    async def _serve(self, stack: AsyncExitStack, receipts: Receipts) -> int:
        application = web.Application(client_max_size=16 * 1024 * 1024)
        application.add_routes(Inbox(self.mailbox, self.names).routes())
        application.add_routes(Control(self.names, self.mailbox, receipts, self.reporter).routes())
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        stack.push_async_callback(runner.cleanup)
        await runner.setup()
        await web.TCPSite(runner, self.options.host, self.options.http_port).start()
        port: int = runner.addresses[0][1]
        return port
