"""Settings, read once from the environment (`SCAISEND_…` and the four URLs); all wrong ones are reported together.

Only `__main__` sees them; everybody else gets the values it needs. A service's settings are a subclass; its field `api_port` is
`SCAISEND_API_PORT`; its secrets are fields of type KeyRing. An empty variable counts as not set. Production (the default) refuses
what only development may do.
"""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any, Literal, NoReturn, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from scaisend_common.plumbing import failpoints as failpoint_form
from scaisend_common.plumbing.crypto import KeyRing

PREFIX = "SCAISEND_"
_PASSWORD = re.compile(r"(://[^/@\s]*:)[^/@\s]*@|([?&]password=)[^&\s]*")


def _url(*schemes: str) -> AfterValidator:
    def check(value: str) -> str:
        if urlsplit(value).scheme not in schemes:
            raise ValueError(f"expected a URL that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return value

    return AfterValidator(check)


def _host_port(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if value and not (host and colon and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError("expected host:port")
    return value


def _failpoint_spec(value: str) -> str:
    failpoint_form.parse(value)
    return value


Port = Annotated[int, Field(ge=0, le=65535)]
HostPort = Annotated[str, AfterValidator(_host_port)]
AmqpUrl = Annotated[str, _url("amqp", "amqps")]
PostgresDsn = Annotated[str, _url("postgres", "postgresql")]
RedisUrl = Annotated[str, _url("redis", "rediss", "unix")]


class CommonSettings(BaseSettings):
    """What every service reads. Each service has a subclass in its `settings.py`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, env_ignore_empty=True, enable_decoding=False, extra="ignore")

    env: Literal["production", "development"] = "production"  # before the fields that it forbids
    amqp_url: AmqpUrl = Field(validation_alias="AMQP_URL")
    postgres_dsn: PostgresDsn = Field(validation_alias="POSTGRES_DSN")
    postgres_statement_cache: int = Field(100, ge=0)  # 0 behind a PgBouncer older than 1.21
    redis_url: RedisUrl = Field(validation_alias="REDIS_URL")
    ledger_url: RedisUrl = Field(validation_alias="LEDGER_URL")
    health_host: str = "127.0.0.1"
    health_port: Port
    shards: int = Field(8, ge=1, le=1024)
    submit_lanes: int = Field(4, ge=1, le=256)
    event_lanes: int = Field(2, ge=1, le=256)
    dns: HostPort = ""  # empty: /etc/resolv.conf
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    allow_private_destinations: bool = False  # development only
    remote_smtp_port: Port = 25  # other than 25: development only
    failpoints: Annotated[str, AfterValidator(_failpoint_spec)] = ""  # development only
    grace_seconds: float = Field(25, gt=0, le=600)

    @field_validator("allow_private_destinations", "remote_smtp_port", "failpoints")
    @classmethod
    def _development_only(cls, value: object, info: ValidationInfo) -> object:
        default = cls.model_fields[str(info.field_name)].default
        if info.data.get("env") != "development" and value != default:
            raise ValueError("is a development setting, and SCAISEND_ENV is not development")
        return value


S = TypeVar("S", bound=BaseSettings)


def load(settings_type: type[S]) -> S:
    """Read the environment into `settings_type`. Whatever is wrong is told on stderr, all of it, and the process exits with 2."""
    try:
        return settings_type()
    except ValidationError as error:
        _refuse(settings_type, error)


def describe(settings: BaseSettings) -> dict[str, object]:
    """Return the effective values, fit for a log: secrets are shown by their kids, passwords within URLs are blotted out."""
    return {name: _shown(getattr(settings, name)) for name in type(settings).model_fields}


def problems(settings_type: type[BaseSettings], error: ValidationError) -> list[str]:
    """Return one line per wrong setting: the variable's name and what is wrong. Never quotes the value: it may be a secret."""
    lines = []
    for each in error.errors(include_url=False, include_input=False):
        field = str(each["loc"][0]) if each["loc"] else ""
        why = "is missing" if each["type"] == "missing" else each["msg"].removeprefix("Value error, ")
        lines.append(f"{_variable(settings_type, field)}: {why}")
    return lines


def _refuse(settings_type: type[BaseSettings], error: ValidationError) -> NoReturn:
    lines = problems(settings_type, error)
    sys.stderr.write("cannot start, the settings are wrong:\n" + "".join(f"  {line}\n" for line in lines))
    raise SystemExit(2)


def _variable(settings_type: type[BaseSettings], loc: str) -> str:
    field = settings_type.model_fields.get(loc)
    if field is None:  # already the name of a variable: pydantic reports aliases
        return loc.upper() if loc.upper().startswith(PREFIX) or loc.isupper() else PREFIX + loc.upper()
    return str(field.validation_alias) if field.validation_alias else PREFIX + loc.upper()


def _shown(value: Any) -> object:
    match value:
        case KeyRing():
            return f"secret, kids {', '.join(value)}"
        case SecretStr():
            return "secret"
        case str():
            return _PASSWORD.sub(lambda found: (found[1] + "***@") if found[1] else found[2] + "***", value)
        case bool() | int() | float():
            return value
        case _:
            return str(value)
