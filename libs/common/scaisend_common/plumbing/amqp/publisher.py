"""Confirmed publishing over one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import structlog

from scaisend_common.plumbing.amqp import methods
from scaisend_common.plumbing.amqp.channel import Channel, ChannelClosed
from scaisend_common.plumbing.amqp.connection import Connection
from scaisend_common.plumbing.amqp.fields import FieldValue
from scaisend_common.plumbing.amqp.frames import content_frames, method_frame
from scaisend_common.plumbing.amqp.inflight import InFlight
from scaisend_common.plumbing.amqp.link import keep_connected
from scaisend_common.plumbing.amqp.settlement import Unavailable, Unroutable
from scaisend_common.plumbing.amqp.url import parse_url

BODY_MOST = 16 * 1024 * 1024  # bytes; RabbitMQ 4 closes the channel, with all that is in flight on it, beyond 16 MiB
ROUTES_KEPT = 4096

log = structlog.get_logger()


class Publisher:
    """Publishes persistent, mandatory messages with confirms; reconnects by itself; an async context manager.

    Entering waits for the first connection for up to `timeout`; without one it goes on all the same, not ready. Leaving waits for what
    is in flight. Nothing is ever published twice by itself: what failed is the caller's to repeat.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        timeout: timedelta = timedelta(seconds=4),
        content_type: str = "application/octet-stream",
        body_most: int = BODY_MOST,
    ) -> None:
        self._broker = parse_url(url)
        self._name = name
        self._timeout = timeout.total_seconds()
        self._content_type = content_type
        self._bare_properties = methods.persistent_properties(content_type)
        self._body_most = body_most
        self._in_flight = InFlight(self._timeout)
        self._connection: Connection | None = None
        self._channel: Channel | None = None
        self._connected = asyncio.Event()
        self._link: asyncio.Task[None] | None = None
        self._routes: dict[tuple[str, str, bool], bytes] = {}

    async def __aenter__(self) -> Publisher:
        self._link = asyncio.create_task(keep_connected(self._broker, self._work, name=self._name), name=f"{self._name}-link")
        self._link.add_done_callback(self._on_link_end)
        connected = asyncio.ensure_future(self._connected.wait())
        await asyncio.wait((connected, self._link), timeout=self._timeout, return_when=asyncio.FIRST_COMPLETED)
        connected.cancel()
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._link is not None, "not entered"
        await self._in_flight.settled()
        self._link.cancel()
        await asyncio.gather(self._link, return_exceptions=True)

    async def publish(
        self, exchange: str, key: str, body: bytes, *, mandatory: bool = True, headers: Mapping[str, FieldValue] | None = None
    ) -> None:
        """Return when the broker confirmed. Raises Unavailable, Refused, Unroutable.

        While the broker has this connection blocked, or no connection stands, it raises Unavailable at once with nothing written.
        """
        await self.publish_nowait(exchange, key, body, mandatory=mandatory, headers=headers)

    def publish_nowait(
        self, exchange: str, key: str, body: bytes, *, mandatory: bool = True, headers: Mapping[str, FieldValue] | None = None
    ) -> asyncio.Future[None]:
        """Hand a message to the connection and return the future of its confirm, which can be gathered without a task for each.

        Raises Unavailable at once, with nothing written, when blocked or not connected, and ValueError for what AMQP or the broker could
        never take (a body over the bound, a key over 255 bytes). Everything later comes through the future. Cancelling the future
        only stops waiting: the message was handed over already and may well arrive. A future that nobody awaits logs its failure.
        """
        channel, connection = self._channel, self._connection
        if channel is None or connection is None or not channel.is_open:
            raise Unavailable("no connection to the broker")
        if connection.blocked_why is not None:
            raise Unavailable(f"the broker blocks publishing: {connection.blocked_why}")
        if connection.is_congested:
            raise Unavailable("the broker does not read what was sent")
        if len(body) > self._body_most:
            raise ValueError(f"a message of {len(body)} bytes, and the broker takes up to {self._body_most}")
        route = self._routes.get((exchange, key, mandatory)) or self._route(exchange, key, mandatory)
        tag = self._in_flight.next_tag()
        properties = methods.persistent_properties(self._content_type, headers) if headers else self._bare_properties
        content = content_frames(channel.number, methods.with_message_id(properties, tag), body, connection.frame_max)
        connection.write(method_frame(channel.number, route), *content)
        return self._in_flight.add(tag, exchange)

    @property
    def is_ready(self) -> bool:
        """A connection stands and is not blocked."""
        channel, connection = self._channel, self._connection
        if channel is None or connection is None:
            return False
        return channel.is_open and connection.blocked_why is None and not connection.is_congested

    async def _work(self, connection: Connection) -> None:
        channel = await connection.channel()
        channel.on_confirm = self._in_flight.confirm
        channel.on_content = self._on_content
        channel.ended.add_done_callback(self._on_end)
        self._in_flight.restart()
        await channel.call(methods.confirm_select(), methods.CONFIRM_SELECT_OK)
        self._connection, self._channel = connection, channel
        self._connected.set()
        log.info("amqp_publishing", connection=self._name)
        why = await asyncio.shield(channel.ended)
        if why is not None:
            raise why

    def _on_content(self, method: int, payload: bytes, header: bytes, _body: bytes) -> None:
        """A message came back: no queue is bound for its key. Its confirm follows and is ignored."""
        if method == methods.BASIC_RETURN and (tag := methods.message_id_of(header)).isdigit():
            code, text = methods.return_of(payload)
            self._in_flight.fail(int(tag), Unroutable(f"{code} {text}"))

    def _on_end(self, ended: asyncio.Future[Exception | None]) -> None:
        """Fail what is in flight. A missing exchange closes the channel for everybody; who named it knows that nothing was taken."""
        why = ended.result() if not ended.cancelled() else None
        missing = why.text if isinstance(why, ChannelClosed) and why.code == methods.NOT_FOUND else ""
        self._channel = self._connection = None
        self._connected.clear()
        self._in_flight.fail_all(
            lambda exchange: Unroutable(missing) if f"no exchange '{exchange}'" in missing else Unavailable(f"connection lost: {why}")
        )

    def _on_link_end(self, link: asyncio.Task[None]) -> None:
        """Only a bug ends the link before we do; it leaves a publisher that is never ready again, so it is said aloud."""
        if not link.cancelled() and (error := link.exception()) is not None:
            log.error("amqp_link_died", connection=self._name, exc_info=error)

    def _route(self, exchange: str, key: str, mandatory: bool) -> bytes:
        """Encode basic.publish once for each route; a service has few."""
        if len(self._routes) >= ROUTES_KEPT:
            self._routes.clear()
        route = self._routes[exchange, key, mandatory] = methods.publish(exchange, key, mandatory=mandatory)
        return route

    def __repr__(self) -> str:
        return f"<Publisher {self._name} {'ready' if self.is_ready else 'not ready'}, {len(self._in_flight)} in flight>"
