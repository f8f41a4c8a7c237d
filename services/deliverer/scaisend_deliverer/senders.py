"""Senders: how a tenant's mail from a domain is signed and where its bounces go; read once, kept for a minute.

While Postgres is away what is known stays good for an hour. What is not known waits: nothing ever goes out unsigned.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from structlog import get_logger

from scaisend_common.mail.binding import dkim_binding
from scaisend_common.plumbing.crypto import CannotOpen, KeyRing, open_sealed
from scaisend_common.plumbing.flights import Flights
from scaisend_common.plumbing.postgres import DatabaseAway
from scaisend_deliverer.sign import DkimKey
from scaisend_deliverer.store import SenderRow

log = get_logger()

FRESH = 60.0  # seconds
RENEWED = 15.0  # seconds before that in which who asks has it read anew, and does not wait for it
UNKNOWN_FRESH = 10.0
STALE = 3600.0
MOST_KEPT = 20_000

Find = Callable[[str, list[str]], Awaitable[SenderRow | None]]
_Name = tuple[str, str]  # tenant id, From domain
_Flight = tuple[str, str, int]  # and of what generation the answer is
T = TypeVar("T")


class CannotSign(Exception):
    """The tenant has no verified domain with a key for this From: the mail waits until it has."""


@dataclass(frozen=True, slots=True)
class Sender:
    """A tenant as the sender from one domain."""

    tenant_number: int
    at_most_once: bool
    return_path_host: str
    key: DkimKey


@dataclass(slots=True)
class _Known:
    sender: Sender | None
    row: SenderRow | None
    read_at: float
    fresh_until: float
    renewed_from: float = float("inf")


class Senders:
    """`find(tenant_id, domains)` reads Postgres; `kek` opens the keys."""

    def __init__(self, find: Find, kek: KeyRing, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._find = find
        self._kek = kek
        self._clock = clock
        self._known: dict[_Name, _Known] = {}
        self._flights: Flights[_Flight, Sender | None] = Flights()
        self._generation = 0  # of what there is to know

    async def of(self, tenant_id: str, domain: str) -> Sender:
        """Return the sender for a From domain, which is a verified domain or below one. Raises CannotSign, DatabaseAway."""
        known = self._known.get((tenant_id, domain))
        now = self._clock()
        if known is not None and known.fresh_until > now:
            sender = known.sender
            if known.renewed_from < now:
                self._flights.start((tenant_id, domain, self._generation), self._read)
        else:
            sender = await self._flights.join((tenant_id, domain, self._generation), self._read)
        if sender is None:
            raise CannotSign(f"no verified domain with a DKIM key for {domain}")
        return sender

    def forget(self, tenant_id: str | None = None) -> None:
        """Read again what is known of a tenant (None: of all) before it is used; it still serves while Postgres is away."""
        self._generation += 1
        for (tenant, _), known in self._known.items():
            if tenant_id is None or tenant == tenant_id:
                known.fresh_until = float("-inf")

    async def _read(self, flight: _Flight) -> Sender | None:
        *_, generation = flight
        name = flight[:2]
        known = self._known.get(name)
        try:
            row = await self._find(name[0], candidates(name[1]))
        except DatabaseAway:
            if known is None or known.sender is None or self._clock() - known.read_at > STALE:
                raise
            known.fresh_until, known.renewed_from = self._clock() + UNKNOWN_FRESH, float("inf")
            return known.sender
        sender = known.sender if known is not None and known.row == row else await self._open(name[0], row)
        if len(self._known) >= MOST_KEPT:
            for oldest in list(self._known)[: MOST_KEPT // 10]:
                del self._known[oldest]
        now = self._clock()
        if generation != self._generation:  # what was read may be old already
            self._known[name] = _Known(sender, row, now, float("-inf"))
        elif sender is None:
            self._known[name] = _Known(sender, row, now, now + UNKNOWN_FRESH)
        else:
            self._known[name] = _Known(sender, row, now, now + FRESH, now + FRESH - RENEWED)
        return sender

    async def _open(self, tenant_id: str, row: SenderRow | None) -> Sender | None:
        """Open and parse a key, in a thread: parsing takes 0.2 ms, and up to 0.6 with 4096 bits."""
        if row is None:
            return None
        try:
            der = open_sealed(self._kek, row.kek_kid, row.sealed_key, dkim_binding(tenant_id, row.domain, row.selector))
            key = await asyncio.to_thread(DkimKey.from_der, row.domain, row.selector, der)
        except (CannotOpen, ValueError) as error:
            log.error("dkim_key_unusable", domain=row.domain, selector=row.selector, why=str(error))
            raise CannotSign(f"the DKIM key {row.selector}._domainkey.{row.domain} cannot be used: {error}") from error
        return Sender(row.tenant_number, row.at_most_once, row.return_path_host, key)

    def __repr__(self) -> str:
        return f"<Senders: {len(self._known)} known>"


def candidates(domain: str) -> list[str]:
    """Return the domains that may sign for a From domain: itself and those above it, down to two labels."""
    labels = domain.split(".")
    return [".".join(labels[start:]) for start in range(max(1, len(labels) - 1))]
