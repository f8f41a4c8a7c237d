"""A row of the waiting room, and the job in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from structlog import get_logger

from scaisend_common.messages import Job, NewerVersion, Undecodable, WhyLater, decoder

log = get_logger()
_decode_job: Callable[[bytes], Job] = decoder(Job)


class LaterKey(NamedTuple):
    """The key of a row."""

    tenant_id: str
    due_at: datetime
    delivery_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class LaterRow:
    """A row. `leased_before`: somebody may have published its job already."""

    key: LaterKey
    why: WhyLater
    job: bytes
    leased_before: bool


def job_of(row: LaterRow) -> Job | None:
    """Return the job, or None where this release cannot read it: the row stays, and is looked at again when its lease ends."""
    try:
        return _decode_job(row.job)
    except (Undecodable, NewerVersion) as error:
        log.error("waiting_job_unreadable", delivery_id=row.key.delivery_id, attempt=row.key.attempt, why=str(error))
        return None
