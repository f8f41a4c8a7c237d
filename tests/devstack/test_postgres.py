"""Data of one major version is no other's."""

from pathlib import Path

import pytest

from devstack.postgres import start_postgres
from devstack.programs import CannotStart


def test_data_is_opened_only_by_what_made_it(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres/PG_VERSION").write_text("9\n")
    (tmp_path / "postgres.program").write_text("/nowhere/postgres")
    with pytest.raises(CannotStart, match="make clean"):
        start_postgres(tmp_path, 1, durable=False)
