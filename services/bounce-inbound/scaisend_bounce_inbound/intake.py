"""Takes one mail that came back: reads it, asks the timeline what it is about, publishes the event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from prometheus_client import Counter
from structlog import get_logger

from scaisend_bounce_inbound import store
from scaisend_bounce_inbound.decide import Delivery, event_of
from scaisend_bounce_inbound.report import Complaint, NoReport, Report, read_report
from scaisend_common.mail.ids import made_at, submission_of
from scaisend_common.mail.verp import Expired, Forged, ReturnPath
from scaisend_common.messages import EventBatch, encode
from scaisend_common.plumbing.amqp import Publisher
from scaisend_common.plumbing.failpoints import fail_here
from scaisend_common.plumbing.postgres import Pool
from scaisend_common.topology import EVENTS, Topology

log = get_logger()
REPORTS = Counter("scaisend_inbound_reports", "Mails that came back, by what they are", ["kind"])

WAITS = (0.2, 0.4, 0.6, 0.8, 0.0)  # seconds between looks; record writes within half a second when nothing holds it up
RECORDED_WITHIN = timedelta(days=4)  # longer than a delivery can wait, and the broker hold its events


class NotRecordedYet(Exception):
    """The delivery is ours and young, and the timeline does not know it yet: the remote server keeps the report and sends it again."""


class Intake:
    """What happens between the final dot and the 250."""

    def __init__(
        self,
        pool: Pool,
        publisher: Publisher,
        topology: Topology,
        *,
        read_local_part: Callable[[str], ReturnPath | Forged | Expired],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pool = pool
        self._publisher = publisher
        self._topology = topology
        self._read_local_part = read_local_part
        self._now = now

    async def take(self, mail: bytes, paths: tuple[ReturnPath, ...], peer: str) -> None:
        """Return once every event that follows is confirmed; at that instant the mail is ours.

        A crash before: the remote server saw no 250 and sends again, the event has the same id. Raises DatabaseAway,
        Unavailable, Refused, NotRecordedYet.
        """
        report = await asyncio.to_thread(read_report, mail)
        REPORTS.labels(type(report).__name__.lower()).inc()
        if isinstance(report, Complaint):
            paths += self._quoted(report)
        for path in dict.fromkeys(paths):
            await self._publish(report, path)
        if not paths:  # to postmaster or abuse, and no complaint about a mail of ours
            await store.keep_role_mail(self._pool, peer, mail)
        fail_here("inbound.after_confirm_before_250")
        log.info(
            "inbound_mail",
            report=type(report).__name__,
            why=report.why if isinstance(report, NoReport) else "",
            paths=len(paths),
            bytes=len(mail),
            peer=peer,
        )

    async def _delivery(self, path: ReturnPath) -> Delivery | None:
        """What the timeline knows of the delivery, None where it is no longer kept. Raises NotRecordedYet: a bounce can be that fast."""
        tenant_id = await store.tenant_of(self._pool, path.tenant_number)
        if tenant_id is None:
            return None
        for pause in WAITS:
            if delivery := await store.read_delivery(self._pool, tenant_id, path.delivery_id):
                return delivery
            await asyncio.sleep(pause)
        if self._now() - made_at(submission_of(path.delivery_id)) < RECORDED_WITHIN:
            raise NotRecordedYet(path.delivery_id)
        return None

    def _quoted(self, complaint: Complaint) -> tuple[ReturnPath, ...]:
        """The return paths of ours that a complaint quotes: a feedback loop reports to one address for all."""
        read = (self._read_local_part(path.rpartition("@")[0]) for path in complaint.return_paths)
        return tuple(path for path in read if isinstance(path, ReturnPath))

    async def _publish(self, report: Report, path: ReturnPath) -> None:
        if isinstance(report, NoReport):
            return
        delivery = await self._delivery(path)
        event = event_of(report, delivery, self._now()) if delivery else None
        if event is None:
            return
        await self._publisher.publish(EVENTS, self._topology.event_key(event.tenant_id), encode(EventBatch((event,))))
