"""While packages are installed nothing starts, and afterwards the machine's own policy stands as it did."""

import os
import subprocess
from pathlib import Path

import pytest

from devstack.peers import nothing_starts


def test_a_policy_that_was_there_is_back_afterwards(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 7\n")
    policy.chmod(0o750)
    with nothing_starts(policy):
        assert subprocess.run([policy], check=False).returncode == 101
    assert (policy.read_text(), policy.stat().st_mode & 0o777) == ("#!/bin/sh\nexit 7\n", 0o750)
    assert os.listdir(tmp_path) == ["policy-rc.d"]


def test_without_one_none_is_left_also_when_the_installation_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), nothing_starts(tmp_path / "policy-rc.d"):
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []
