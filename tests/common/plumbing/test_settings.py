import pytest

from scaisend_common.plumbing.crypto import KeyRing, new_key_ring
from scaisend_common.plumbing.settings import CommonSettings, describe, load


class ServiceSettings(CommonSettings):
    token_secret: KeyRing
    api_port: int = 8080


GOOD = {
    "AMQP_URL": "amqp://user:hush@broker:5672/vhost",
    "POSTGRES_DSN": "postgresql://scaisend_api:hush@db/scaisend",
    "REDIS_URL": "redis://:hush@cache:6379/0",
    "LEDGER_URL": "rediss://ledger:6379/0?password=hush",
    "SCAISEND_HEALTH_PORT": "8081",
    "SCAISEND_TOKEN_SECRET": new_key_ring(),
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch):
    def set_to(**values: str) -> None:
        for name, value in (GOOD | values).items():
            monkeypatch.setenv(name, value)

    return set_to


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as exit_:
        load(ServiceSettings)
    assert exit_.value.code == 2
    return capsys.readouterr().err


def test_good_settings_load_with_their_defaults(environment) -> None:
    environment(SCAISEND_API_PORT="9000")
    settings = load(ServiceSettings)
    assert (settings.env, settings.shards, settings.submit_lanes, settings.event_lanes, settings.dns) == ("production", 8, 4, 2, "")
    assert settings.api_port == 9000
    assert list(settings.token_secret) == ["k1"]


def test_settings_do_not_change(environment) -> None:
    environment()
    with pytest.raises(ValueError):
        load(ServiceSettings).shards = 9  # type: ignore[misc]


def test_all_wrong_settings_are_told_together(environment, capsys) -> None:
    environment(
        POSTGRES_DSN="mysql://db",
        REDIS_URL="",
        SCAISEND_HEALTH_PORT="70000",
        SCAISEND_SHARDS="many",
        SCAISEND_DNS="resolver",
        SCAISEND_TOKEN_SECRET="k1:c2hvcnQ=",
        SCAISEND_ALLOW_PRIVATE_DESTINATIONS="1",
        SCAISEND_REMOTE_SMTP_PORT="2525",
        SCAISEND_FAILPOINTS="x=kill",
    )
    told = refused(capsys)
    for name in (
        "POSTGRES_DSN",
        "REDIS_URL: is missing",
        "SCAISEND_HEALTH_PORT",
        "SCAISEND_SHARDS",
        "SCAISEND_DNS: expected host:port",
        "SCAISEND_TOKEN_SECRET: key k1 has 5 bytes instead of 32",
        "SCAISEND_ALLOW_PRIVATE_DESTINATIONS: is a development setting",
        "SCAISEND_REMOTE_SMTP_PORT: is a development setting",
        "SCAISEND_FAILPOINTS: is a development setting",
    ):
        assert name in told
    assert "AMQP_URL" not in told


def test_a_missing_secret_is_named(environment, capsys) -> None:
    environment(SCAISEND_TOKEN_SECRET="")
    assert "SCAISEND_TOKEN_SECRET: is missing" in refused(capsys)


def test_an_environment_that_is_neither_is_refused_with_the_development_settings(environment, capsys) -> None:
    environment(SCAISEND_ENV="staging", SCAISEND_FAILPOINTS="x=kill")
    told = refused(capsys)
    assert "SCAISEND_ENV" in told
    assert "SCAISEND_FAILPOINTS" in told


def test_development_may_do_what_production_may_not(environment) -> None:
    environment(
        SCAISEND_ENV="development",
        SCAISEND_ALLOW_PRIVATE_DESTINATIONS="1",
        SCAISEND_REMOTE_SMTP_PORT="2525",
        SCAISEND_FAILPOINTS="x=kill*1",
    )
    settings = load(ServiceSettings)
    assert settings.allow_private_destinations
    assert settings.remote_smtp_port == 2525


def test_a_malformed_failpoint_is_refused_in_development_too(environment, capsys) -> None:
    environment(SCAISEND_ENV="development", SCAISEND_FAILPOINTS="x=explode")
    assert "SCAISEND_FAILPOINTS" in refused(capsys)


def test_the_description_shows_no_secret(environment) -> None:
    environment()
    described = repr(describe(load(ServiceSettings)))
    assert "hush" not in described
    assert GOOD["SCAISEND_TOKEN_SECRET"].partition(":")[2] not in described
    assert "broker:5672/vhost" in described
    assert "kids k1" in described


def test_a_secret_that_is_wrong_is_not_quoted(environment, capsys) -> None:
    environment(SCAISEND_TOKEN_SECRET="k1:sesame", AMQP_URL="sesame", POSTGRES_DSN="sesame")
    assert "sesame" not in refused(capsys)
