"""Settings of the scheduler."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from scaisend_common.plumbing.settings import CommonSettings

RoleName = Literal["route", "later", "record", "upkeep"]


def _names(value: object) -> object:
    return [name.strip() for name in value.split(",")] if isinstance(value, str) else value


class Settings(CommonSettings):
    """`roles`: which of the four this process has; `group` and `source`: from where mail goes unless a job says otherwise."""

    roles: Annotated[tuple[RoleName, ...], BeforeValidator(_names)] = ("route", "later", "record", "upkeep")
    group: str = Field("default", min_length=1)
    source: str = Field("default", min_length=1)
    record_linger_ms: float = Field(250, ge=0, le=5000)
    history_days: int = Field(30, ge=7, le=3650)  # how long messages and events are kept
