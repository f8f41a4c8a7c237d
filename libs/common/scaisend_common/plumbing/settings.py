"""Settings, read once from the environment (`SCAISEND_…` and the four URLs); all wrong ones are reported together.

Only `__main__` sees them; everybody else gets the values it needs.
"""

from __future__ import annotations

from pydantic_settings import BaseSettings


class CommonSettings(BaseSettings):
    """What every service reads. Each service has a subclass in its `settings.py`."""

    env: str = "production"  # SCAISEND_ENV: production | development
    amqp_url: str  # AMQP_URL
    postgres_dsn: str  # POSTGRES_DSN
    redis_url: str  # REDIS_URL
    ledger_url: str  # LEDGER_URL
    health_host: str = "127.0.0.1"  # SCAISEND_HEALTH_HOST
    health_port: int  # SCAISEND_HEALTH_PORT
    shards: int = 8  # SCAISEND_SHARDS
    submit_lanes: int = 4  # SCAISEND_SUBMIT_LANES
    event_lanes: int = 2  # SCAISEND_EVENT_LANES
    dns: str = ""  # SCAISEND_DNS host:port; empty: /etc/resolv.conf
    log_level: str = "INFO"  # SCAISEND_LOG_LEVEL
    allow_private_destinations: bool = False  # development only
    remote_smtp_port: int = 25  # other than 25: development only
    failpoints: str = ""  # development only
    grace_seconds: float = 25  # SCAISEND_GRACE_SECONDS
