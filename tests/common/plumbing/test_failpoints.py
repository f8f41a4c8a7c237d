import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.plumbing import failpoints
from scaisend_common.plumbing.failpoints import FailpointReached, enable, fail_here, parse


@pytest.fixture(autouse=True)
def disabled_afterwards():
    yield
    enable("")


def test_a_failpoint_is_inert_unless_enabled() -> None:
    fail_here("anything")
    enable("other=raise")
    fail_here("anything")


def test_it_fails_each_time_or_only_so_often_or_only_from_then_on() -> None:
    enable("always=raise, twice=raise*2, third=raise@3, second_only=raise@2*1")
    seen: dict[str, list[bool]] = {}
    for name in ("always", "twice", "third", "second_only"):
        for _ in range(4):
            try:
                fail_here(name)
                failed = False
            except FailpointReached:
                failed = True
            seen.setdefault(name, []).append(failed)
    assert seen == {
        "always": [True, True, True, True],
        "twice": [True, True, False, False],
        "third": [False, False, True, True],
        "second_only": [False, True, False, False],
    }


def test_sleep_blocks_for_so_long() -> None:
    enable("slow=sleep:0.05")
    began = time.monotonic()
    fail_here("slow")
    assert time.monotonic() - began >= 0.05


def test_kill_is_kill_9() -> None:
    code = "from scaisend_common.plumbing.failpoints import enable, fail_here; enable('here=kill'); fail_here('here'); print('survived')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30, check=False)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == b""


@pytest.mark.parametrize("spec", ["x", "x=", "x=explode", "=kill", "x=sleep", "x=sleep:soon", "x=kill*", "x=kill*two"])
def test_what_is_no_failpoint_is_refused(spec: str) -> None:
    with pytest.raises(ValueError):
        parse(spec)


@given(st.text(max_size=40))
def test_parsing_only_ever_refuses_with_value_error(spec: str) -> None:
    try:
        points = parse(spec)
    except ValueError:
        return
    assert all(isinstance(point, failpoints.Failpoint) for point in points)
