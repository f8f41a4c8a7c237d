"""deploy/compose.yaml cannot be run here, but it can be read: every name in it means something, every setting is one that its service knows."""

import json
import re
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from pydantic import ValidationError

from scaisend_common.cli.settings import BrokerSettings, DnsSettings, DomainSettings, KeySettings, MigrateSettings
from scaisend_common.plumbing.settings import CommonSettings, problems
from scaisend_scheduler.roles import ROLES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "deploy/compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES = ("api", "scheduler", "deliverer", "bounce-inbound", "webhook-fanout")
SECRET = "k1:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


def substituted(value: str) -> str:
    """As compose would with a full deploy/.env."""

    def of(found: re.Match[str]) -> str:
        name = found[1]
        return SECRET if name in {"SCAISEND_KEY_PEPPER", "SCAISEND_KEK", "SCAISEND_TOKEN_SECRET"} else "x.example.com"

    return re.sub(r"\$\{(\w+)(?::\?[^}]*)?\}", of, value)


def environment(service: str) -> dict[str, str]:
    return {name: substituted(value) for name, value in COMPOSE["services"][service].get("environment", {}).items()}


def version() -> str:
    return str(tomllib.loads((ROOT / "libs/common/pyproject.toml").read_text())["project"]["version"])


def test_every_dependency_and_volume_is_described() -> None:
    for name, service in COMPOSE["services"].items():
        assert set(service.get("depends_on", {})) <= COMPOSE["services"].keys(), name
        named = {volume.partition(":")[0] for volume in service.get("volumes", [])}
        assert named <= COMPOSE["volumes"].keys(), name


def test_every_image_has_a_version_and_ours_have_this_one() -> None:
    for name, service in COMPOSE["services"].items():
        image, _, tag = service["image"].rpartition(":")
        assert image, name
        assert tag != "latest", name
        if image.startswith("scaisend/"):
            assert tag == version(), name


def test_what_is_built_exists() -> None:
    for service in SERVICES:
        build = COMPOSE["services"][service]["build"]
        assert (ROOT / build["dockerfile"]).exists()
        assert build["args"]["SERVICE"] == service
        assert (ROOT / f"services/{service}").is_dir()
        assert (ROOT / f"locks/{service}.txt").exists()


@pytest.mark.parametrize("service", [*SERVICES, "recorder"])
def test_a_service_can_start_with_the_settings_that_it_is_given(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = COMPOSE["services"][service]["build"]["args"]["SERVICE"]
    settings = cast("type[CommonSettings]", import_module(f"scaisend_{kind.replace('-', '_')}.settings").Settings)
    for name, value in (environment(service) | {"SCAISEND_HEALTH_PORT": "9000", "SCAISEND_HEALTH_HOST": "0.0.0.0"}).items():  # the image's
        monkeypatch.setenv(name, value)
    try:
        settings()
    except ValidationError as error:
        pytest.fail("\n".join(problems(settings, error)))
    known = {str(field.validation_alias or f"SCAISEND_{name.upper()}") for name, field in settings.model_fields.items()}
    secrets = {"SCAISEND_KEY_PEPPER", "SCAISEND_KEK", "SCAISEND_TOKEN_SECRET"}  # given to all
    assert environment(service).keys() - secrets <= known


def test_the_schedulers_have_every_role_once() -> None:
    roles = [role for service in ("scheduler", "recorder") for role in environment(service)["SCAISEND_ROLES"].split(",")]
    assert sorted(roles) == sorted(ROLES)


def test_the_command_line_has_what_its_commands_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment("migrate").items():
        monkeypatch.setenv(name, value)
    for settings in (MigrateSettings, BrokerSettings, KeySettings, DomainSettings, DnsSettings):
        settings()


def test_every_variable_is_explained_at_the_top() -> None:
    head = TEXT.partition("name: scaisend")[0]
    for name in set(re.findall(r"\$\{(\w+)", TEXT)):
        short = name.removeprefix("SCAISEND_").removesuffix("_PASSWORD")
        assert short in head, name


def test_no_service_runs_in_development() -> None:
    assert "development" not in json.dumps(COMPOSE)
