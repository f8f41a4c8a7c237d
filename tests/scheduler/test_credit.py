"""Credit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.scheduler.making import OTHER, TENANT, a_job

from scaisend_common.mail.drain import LONGEST_AWAY, SOONEST_BACK
from scaisend_common.messages import Job, Line, Lines, Stream
from scaisend_scheduler.route.credit import HOLDS, Credit

SLOW = Lines("default", "default", "slow.test", (Line(TENANT, Stream.BULK, 5.0, 40.0),))
jitters = st.floats(0, 1, exclude_max=True)


def on(site: str, tenant_id: str = TENANT, stream: Stream = Stream.BULK) -> Job:
    return a_job(site=site, source="default", tenant_id=tenant_id, stream=stream)


@given(jitters, st.integers(1, 500))
def test_who_has_a_line_on_a_path_joins_its_end(jitter: float, jobs: int) -> None:
    credit = Credit()
    credit.hear(SLOW, 1000.0)
    dues = [credit.due_at(on("slow.test"), 1000.0, jitter) for _ in range(jobs)]
    assert None not in dues
    assert all(1000.0 + SOONEST_BACK + 40.0 < due <= 1000.0 + LONGEST_AWAY for due in dues if due is not None)


@given(st.sampled_from([on("slow.test", OTHER), on("fast.test"), on("slow.test", stream=Stream.TRANSACTIONAL)]), jitters)
def test_no_other_tenant_path_or_stream_waits(job: Job, jitter: float) -> None:
    credit = Credit()
    credit.hear(SLOW, 1000.0)
    assert credit.due_at(job, 1000.0, jitter) is None


def test_what_was_said_holds_for_a_moment_only() -> None:
    credit = Credit()
    credit.hear(SLOW, 1000.0)
    assert credit.due_at(on("slow.test"), 1000.0 + HOLDS, 0.5) is None


def test_said_again_the_line_is_no_shorter_than_this_router_made_it() -> None:
    credit = Credit()
    credit.hear(SLOW, 1000.0)
    last = [credit.due_at(on("slow.test"), 1000.0, 0.5) for _ in range(100)][-1]
    credit.hear(SLOW, 1001.0)
    due = credit.due_at(on("slow.test"), 1001.0, 0.5)
    assert due is not None
    assert last is not None
    assert due > last
