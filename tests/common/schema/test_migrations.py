from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.schema.migrations import Migration, WrongMigrations, latest, ordered, pending, read_migrations
from scaisend_common.schema.roles import scram_verifier

texts = st.lists(st.text(max_size=20), max_size=8).map(lambda sqls: {f"{n:04}_step.sql": sql for n, sql in enumerate(sqls, 1)})


def test_the_release_carries_migrations_numbered_from_one() -> None:
    migrations = read_migrations()
    assert migrations[0].name == "0001_init.sql"
    assert [each.version for each in migrations] == list(range(1, latest() + 1))


@given(texts, st.integers(0, 10))
def test_what_is_pending_is_what_comes_after_the_history(files: dict[str, str], done: int) -> None:
    migrations = ordered(files)
    history = {each.version: each.checksum for each in migrations[:done]}
    assert pending(migrations, history) == migrations[done:]


@given(texts)
def test_a_database_that_a_newer_release_migrated_needs_nothing(files: dict[str, str]) -> None:
    migrations = ordered(files)
    assert pending(migrations, {each.version: each.checksum for each in migrations} | {9999: "x"}) == []


def test_a_migration_edited_after_it_was_applied_is_refused() -> None:
    (one,) = ordered({"0001_init.sql": "SELECT 1"})
    with pytest.raises(WrongMigrations, match="0001_init"):
        pending([one], {1: Migration(1, "0001_init.sql", "", "another").checksum})


@pytest.mark.parametrize("names", [["0002_b.sql"], ["0001_a.sql", "0003_c.sql"], ["0001_a.sql", "0001_b.sql"]])
def test_a_gap_or_a_number_twice_is_refused(names: list[str]) -> None:
    with pytest.raises(WrongMigrations):
        ordered(dict.fromkeys(names, ""))


def test_a_password_becomes_the_verifier_of_rfc_7677() -> None:  # section 3: user `user`, password `pencil`
    assert scram_verifier("pencil", b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")) == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )
    assert scram_verifier("pencil") != scram_verifier("pencil")
