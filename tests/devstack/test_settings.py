"""The environment that make up gives its services, and what the caller's says about it."""

import json
import os
import re
import stat
from base64 import b64decode
from pathlib import Path

import pytest

from devstack import settings
from devstack.settings import (
    environment,
    given,
    health_ports,
    part_of,
    read_variables,
    secrets,
    server_urls,
    servers_wanted,
    variables,
    write_private,
)
from scaisend_scheduler.roles import ROLES
from scaisend_scheduler.settings import Settings


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that says nothing of ScaiSend."""
    for name in list(os.environ):
        if name in settings.GIVEN or name.startswith("SCAISEND_"):
            monkeypatch.delenv(name)
    return monkeypatch


def test_secrets_are_made_once_and_read_by_their_owner_alone(tmp_path: Path) -> None:
    first = secrets(tmp_path)
    assert secrets(tmp_path) == first
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600
    for name in ("SCAISEND_KEY_PEPPER", "SCAISEND_KEK", "SCAISEND_TOKEN_SECRET"):
        kid, _, key = first[name].partition(":")
        assert (kid, len(b64decode(key))) == ("k1", 32)
    assert len(set(first.values())) == 4


def test_an_existing_file_is_closed_before_a_secret_is_written(tmp_path: Path) -> None:
    (tmp_path / "env").touch(mode=0o644)
    write_private(tmp_path / "env", "secret")
    assert stat.S_IMODE((tmp_path / "env").stat().st_mode) == 0o600


def test_a_service_logs_in_as_itself_and_the_command_line_as_the_administrator(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    password = secrets(tmp_path)["SCAISEND_DB_PASSWORD"]
    assert f"://scaisend_bounce_inbound:{password}@" in environment(tmp_path, "bounce-inbound")["POSTGRES_DSN"]
    assert "://postgres:" in environment(tmp_path)["POSTGRES_DSN"]


def test_explicit_urls_win_and_no_server_is_started_for_them(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare.setenv("AMQP_URL", "amqp://me:mine@broker.example:5672/%2F")
    bare.setenv("POSTGRES_DSN", "postgresql://admin:secret@db.example:5432/mail")
    assert servers_wanted(tmp_path) == ["redis", "ledger"]
    assert server_urls(tmp_path).amqp_url == "amqp://me:mine@broker.example:5672/%2F"
    assert re.fullmatch(r"postgresql://scaisend_api:[^@]+@db\.example:5432/mail", environment(tmp_path, "api")["POSTGRES_DSN"])


def test_a_sourced_env_file_is_no_instruction(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_private(tmp_path / "env", variables(tmp_path, "SG.key"))
    for name, value in read_variables(tmp_path).items():
        bare.setenv(name, value)
    assert given(tmp_path) == {}
    assert servers_wanted(tmp_path) == ["rabbitmq", "postgres", "redis", "ledger"]


def test_the_env_file_names_all_that_a_client_needs(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_private(tmp_path / "env", variables(tmp_path, "SG.key"))
    said = read_variables(tmp_path)
    services = ("API", "SCHEDULER", "DELIVERER", "BOUNCE_INBOUND", "WEBHOOK_FANOUT")
    names = ("API_URL", "API_KEY", "DEMO_FROM", "DEMO_TO", "INBOX_URL", "BOUNCE_ADDR", *(f"{service}_HEALTH_URLS" for service in services))
    assert {f"SCAISEND_{name}" for name in names} | {"POSTGRES_DSN", "AMQP_URL", "REDIS_URL", "LEDGER_URL"} <= said.keys()
    assert said["SCAISEND_API_KEY"] == "SG.key"
    assert re.fullmatch(r"127\.0\.0\.1:\d+", said["SCAISEND_BOUNCE_ADDR"])
    assert len(said["SCAISEND_DELIVERER_HEALTH_URLS"].split(",")) == 2


def test_settings_say_how_many_of_each_service(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare.setenv("SCAISEND_SCHEDULERS", "3")
    bare.setenv("SCAISEND_DELIVERERS", "1")
    ports = health_ports(tmp_path)
    assert {service: len(each) for service, each in ports.items()} == {
        "scheduler": 3,
        "deliverer": 1,
        "bounce-inbound": 1,
        "webhook-fanout": 1,
        "api": 1,
    }
    bare.delenv("SCAISEND_SCHEDULERS")
    assert health_ports(tmp_path)["scheduler"] == ports["scheduler"][:2]


@pytest.mark.parametrize("count", range(1, 6))
def test_schedulers_have_every_role_between_them_and_several_record_apart(bare: pytest.MonkeyPatch, tmp_path: Path, count: int) -> None:
    each: list[tuple[str, ...]] = []
    for n in range(1, count + 1):
        with bare.context() as told:
            for name, value in (
                part_of("scheduler", n, count) | environment(tmp_path, "scheduler") | {"SCAISEND_HEALTH_PORT": "0"}
            ).items():
                told.setenv(name, value)
            each.append(Settings().roles)
    assert {role for roles in each for role in roles} == set(ROLES)
    assert count == 1 or [roles for roles in each if "record" in roles] == [("record",)] * (count // 2)
    assert not any(part_of("deliverer", n, count) for n in range(1, count + 1))


def test_settings_of_the_caller_reach_the_services(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare.setenv("SCAISEND_LOG_LEVEL", "DEBUG")
    made = environment(tmp_path, "api")
    assert made["SCAISEND_LOG_LEVEL"] == "DEBUG"
    assert made["SCAISEND_ENV"] == "development"
    assert json.loads((tmp_path / "choices.json").read_text())["api"] == int(made["SCAISEND_API_PORT"])
