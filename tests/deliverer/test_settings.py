"""Settings of the deliverer."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from scaisend_common.plumbing.crypto import new_key_ring
from scaisend_deliverer.settings import Settings

NEEDED = {
    "AMQP_URL": "amqp://localhost/%2F",
    "POSTGRES_DSN": "postgresql://localhost/x",
    "REDIS_URL": "redis://localhost/0",
    "LEDGER_URL": "redis://localhost/1",
    "SCAISEND_HEALTH_PORT": "0",
    "SCAISEND_KEK": new_key_ring(),
    "SCAISEND_TOKEN_SECRET": new_key_ring(),
    "SCAISEND_EHLO_NAME": "out.Example.com",
}


def settings(monkeypatch: pytest.MonkeyPatch, **more: str) -> Settings:
    for name, value in (NEEDED | more).items():
        monkeypatch.setenv(name, value)
    return Settings()


def test_defaults_are_those_of_the_manual(monkeypatch: pytest.MonkeyPatch) -> None:
    read = settings(monkeypatch)
    schedule = read.schedule()
    assert (schedule.first_low, schedule.first_high, schedule.cap) == (timedelta(minutes=1), timedelta(minutes=5), timedelta(hours=4))
    assert (read.connections_per_path, read.mails_per_connection, read.group, read.source) == (20, 100, "default", "default")
    assert read.ehlo_name == "out.example.com"
    assert 2 * read.shards * read.prefetch() * 100 * 1024 <= 64 * 1024 * 1024


@pytest.mark.parametrize("wrong", ["localhost", "192.0.2.1", "a b.example", "x..y"])
def test_the_ehlo_name_is_a_host_name(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    with pytest.raises(ValidationError):
        settings(monkeypatch, SCAISEND_EHLO_NAME=wrong)


def test_a_test_may_retry_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = settings(monkeypatch, SCAISEND_RETRY_FIRST="0.5", SCAISEND_RETRY_FACTOR="1", SCAISEND_RETRY_CAP="2.5").schedule()
    assert schedule.window(7) == (timedelta(seconds=0.5), timedelta(seconds=2.5))


def test_no_two_processes_have_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    read = settings(monkeypatch)
    assert read.member() != read.member()
