"""As root, servers run as nobody, so their folders must be where nobody can go."""

import os
from pathlib import Path

import pytest

from devstack import openfolder
from devstack.openfolder import hand_over, is_open, open_folder

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs servers as another user")


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    return folder


def test_an_open_folder_is_made_where_it_stands() -> None:
    place = Path("/var/tmp") / f"scaisend-open-{os.getpid()}"
    try:
        assert open_folder(place) == place
        assert is_open(place)
        assert not place.is_symlink()
    finally:
        place.rmdir()


@root_only
def test_behind_a_closed_folder_it_is_a_link_to_an_open_one(closed: Path) -> None:
    folder = open_folder(closed / ".run")
    try:
        assert (closed / ".run").is_symlink()
        assert folder.parent == openfolder.OPEN_TO_ALL
        assert is_open(folder)
        assert open_folder(closed / ".run") == folder
        folder.rmdir()
        assert open_folder(closed / ".run") == folder, "a link whose folder was swept away is made good"
    finally:
        folder.rmdir()


@root_only
def test_a_folder_of_somebody_else_under_our_name_is_refused(closed: Path) -> None:
    folder = open_folder(closed / ".run")
    os.chown(folder, openfolder.UNPRIVILEGED, openfolder.UNPRIVILEGED)
    try:
        with pytest.raises(PermissionError, match="somebody else's"):
            open_folder(closed / ".run")
    finally:
        folder.rmdir()


@root_only
def test_what_is_handed_over_belongs_to_nobody_with_all_in_it(tmp_path: Path) -> None:
    (tmp_path / "data/inner").mkdir(parents=True)
    (tmp_path / "data/inner/file").touch()
    hand_over(tmp_path / "data")
    assert {(tmp_path / "data" / each).stat().st_uid for each in ("", "inner", "inner/file")} == {openfolder.UNPRIVILEGED}
