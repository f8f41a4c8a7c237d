from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from devstack.rabbitmq import FIRST, let_go_first


def test_the_broker_goes_first_where_that_is_ours_to_say() -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        try:
            before = os.getpriority(os.PRIO_PROCESS, process.pid)
            let_go_first(process.pid)  # whoever may not, does nothing
            set_to = os.getpriority(os.PRIO_PROCESS, process.pid)
            try:
                os.setpriority(os.PRIO_PROCESS, process.pid, FIRST)
            except PermissionError:
                assert set_to == before
                pytest.skip("nobody here may raise a priority")
            assert set_to == FIRST
            group = Path(f"/proc/{process.pid}/autogroup")
            if group.exists():
                assert group.read_text().split()[-1] == str(FIRST)
        finally:
            process.kill()


def test_a_process_that_is_gone_is_no_error() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    let_go_first(process.pid)
