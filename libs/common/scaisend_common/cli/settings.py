"""What commands read from the environment: each only what it needs, all wrong ones told at once."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from scaisend_common.plumbing.crypto import KeyRing
from scaisend_common.plumbing.settings import PREFIX, AmqpUrl, HostPort, PostgresDsn, RedisUrl
from scaisend_common.topology import DEFAULT_GROUP, Topology


class CommandSettings(BaseSettings):
    """Every command: whether this is a development machine."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, env_ignore_empty=True, enable_decoding=False, extra="ignore")

    env: Literal["production", "development"] = "production"


class DatabaseSettings(CommandSettings):
    """Commands that read or write the tables; the DSN is the administrator's."""

    postgres_dsn: PostgresDsn = Field(validation_alias="POSTGRES_DSN")


class MigrateSettings(DatabaseSettings):
    """SCAISEND_DB_PASSWORD is for every service role; SCAISEND_DB_PASSWORD_API … for single ones."""

    db_password: SecretStr = SecretStr("")
    db_password_api: SecretStr = SecretStr("")
    db_password_scheduler: SecretStr = SecretStr("")
    db_password_deliverer: SecretStr = SecretStr("")
    db_password_bounce_inbound: SecretStr = SecretStr("")
    db_password_webhook_fanout: SecretStr = SecretStr("")


class KeySettings(DatabaseSettings):
    """Making API keys."""

    key_pepper: KeyRing


class DomainSettings(DatabaseSettings):
    """Making DKIM keys."""

    kek: KeyRing


class DnsSettings(DatabaseSettings):
    """What a sender domain has to publish, and looking it up."""

    dns: HostPort = ""
    inbound_name: str = ""  # host name of bounce-inbound, which return path hosts name as their MX
    spf: str = ""  # mechanisms that cover the deliverers' addresses, as `ip4:192.0.2.7 ip6:2001:db8::7` or `include:_spf.example.net`


class StopSettings(DatabaseSettings):
    """Commands that the running services must hear of."""

    ledger_url: RedisUrl = Field(validation_alias="LEDGER_URL")
    amqp_url: AmqpUrl = Field(validation_alias="AMQP_URL")


class FlushSettings(DatabaseSettings):
    """Commands that the running services should hear of; without a broker their caches learn within 60 s."""

    amqp_url: AmqpUrl | None = Field(None, validation_alias="AMQP_URL")


class BrokerSettings(CommandSettings):
    """Commands on the broker."""

    amqp_url: AmqpUrl = Field(validation_alias="AMQP_URL")
    shards: int = Field(8, ge=1, le=1024)
    submit_lanes: int = Field(4, ge=1, le=256)
    event_lanes: int = Field(2, ge=1, le=256)
    groups: str = DEFAULT_GROUP  # SCAISEND_GROUPS: every egress group, parted by commas

    def topology(self) -> Topology:
        """Return the topology that these numbers make."""
        groups = tuple(group.strip() for group in self.groups.split(",") if group.strip())
        return Topology(self.shards, self.submit_lanes, self.event_lanes, groups)
