"""Credit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.mail.drain import LONGEST_AWAY, SOONEST_BACK
from scaisend_common.messages import Backlog
from scaisend_scheduler.route.credit import HOLDS, Credit

SLOW = Backlog("default", "default", "slow.test", 5.0, {"ann": 40.0})


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 500))
def test_who_has_a_line_on_a_path_joins_its_end(jitter: float, jobs: int) -> None:
    credit = Credit()
    credit.hear(SLOW, 1000.0)
    dues = [credit.due_at("ann", "default", "slow.test", 1000.0, jitter) for _ in range(jobs)]
    assert dues == sorted(dues)
    assert all(1000.0 + SOONEST_BACK + 40.0 < due <= 1000.0 + LONGEST_AWAY for due in dues if due is not None)
    assert None not in dues


@given(st.sampled_from([("bob", "slow.test"), ("ann", "fast.test")]))
def test_nobody_else_and_no_other_path_waits(who: tuple[str, str]) -> None:
    credit = Credit()
    credit.hear(SLOW, 1000.0)
    tenant_id, site = who
    assert credit.due_at(tenant_id, "default", site, 1000.0, 0.5) is None


def test_what_was_said_holds_for_a_moment_only() -> None:
    credit = Credit()
    credit.hear(SLOW, 1000.0)
    assert credit.due_at("ann", "default", "slow.test", 1000.0 + HOLDS, 0.5) is None


def test_said_again_the_line_is_no_shorter_than_this_router_made_it() -> None:
    credit = Credit()
    credit.hear(SLOW, 1000.0)
    last = [credit.due_at("ann", "default", "slow.test", 1000.0, 0.5) for _ in range(100)][-1]
    credit.hear(SLOW, 1001.0)
    due = credit.due_at("ann", "default", "slow.test", 1001.0, 0.5)
    assert due is not None
    assert last is not None
    assert due > last
