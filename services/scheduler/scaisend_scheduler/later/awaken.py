"""What a due row becomes: the job as it goes to its path again. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from scaisend_common.messages import Job, WhyLater
from scaisend_scheduler.routing import Route


def awakened(job: Job, why: WhyLater, *, leased_before: bool, route: Route, now: float) -> Job:
    """Return the job on its new route.

    A retry and a scheduled send are attempts that nobody has tried, so they are routed now. Any other job, and any that an earlier
    lease may have published, keeps `routed_at`: a ledger that began since then cannot vouch for it.
    """
    repeat = leased_before or job.repeat
    untried = why in (WhyLater.RETRY, WhyLater.SEND_AT) and not repeat
    return replace(
        job,
        group=route.group,
        source=route.source,
        site=route.site,
        shard=route.shard,
        routed_at=now if untried else job.routed_at,
        repeat=repeat,
    )
