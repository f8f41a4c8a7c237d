"""What Postgres says against a job, where the ledger cannot be asked for its stops."""

from __future__ import annotations

from scaisend_common.mail.address import suppression_key
from scaisend_common.mail.suppression import reason_of
from scaisend_common.messages import Job
from scaisend_common.plumbing.postgres import Pool
from scaisend_deliverer.store import find_bars


async def reason_to_drop(pool: Pool, job: Job) -> str | None:
    """Return the reason of the dropped event, or None where the job may go out. Raises DatabaseAway."""
    suspended, kinds = await find_bars(pool, job.tenant_id, suppression_key(job.rcpt))
    return suspended or reason_of(kinds, job.head.settings)
