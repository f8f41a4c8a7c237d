"""Settings of the deliverer."""

from __future__ import annotations

from datetime import timedelta
from os import getpid
from secrets import token_hex
from socket import gethostname
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from scaisend_common.mail.address import domain_to_ascii
from scaisend_common.mail.retry import RetrySchedule
from scaisend_common.plumbing.crypto import KeyRing
from scaisend_common.plumbing.settings import CommonSettings
from scaisend_common.topology import DEFAULT_GROUP, Topology
from scaisend_deliverer.source import Source

MESSAGES_HELD = 640  # of 100 KB each at most: 64 MiB over all queues that one process may own; more with over 40 shards


def _host_name(value: str) -> str:
    name = domain_to_ascii(value)
    if name is None:
        raise ValueError("expected a host name with a dot (RFC 5321 4.1.1.1)")
    return name


class Settings(CommonSettings):
    """`kek` opens DKIM keys, `token_secret` authenticates return paths; `retry_…` in seconds (mail.retry)."""

    kek: KeyRing
    token_secret: KeyRing
    group: str = DEFAULT_GROUP
    source: str = "default"
    source_ip: str = ""
    ehlo_name: Annotated[str, AfterValidator(_host_name)]
    connections_per_path: int = Field(20, ge=1, le=1000)
    mails_per_connection: int = Field(100, ge=1, le=100_000)
    attempts: int = Field(500, ge=1, le=10_000)  # under way at once in this process
    retry_first: float = Field(60, gt=0)  # shortest wait after the first attempt; the longest is five times that
    retry_factor: float = Field(2, ge=1)
    retry_cap: float = Field(4 * 3600, gt=0)

    @model_validator(mode="after")
    def _schedule_is_sound(self) -> Settings:
        self.schedule()
        return self

    def schedule(self) -> RetrySchedule:
        """When deferred deliveries are tried again."""
        first = timedelta(seconds=self.retry_first)
        return RetrySchedule(first, first * 5, self.retry_factor, max(timedelta(seconds=self.retry_cap), first * 5))

    def egress(self) -> Source:
        """The identity under which this process sends."""
        return Source(self.source, self.source_ip, self.ehlo_name)

    def topology(self) -> Topology:
        """How many shards and lanes there are."""
        return Topology(shards=self.shards, submit_lanes=self.submit_lanes, event_lanes=self.event_lanes, groups=(self.group,))

    def member(self) -> str:
        """A name that no other process has had: of this one as a deliverer and as an owner of claims."""
        return f"{gethostname()}-{getpid()}-{token_hex(4)}"

    def patience(self) -> float:
        """Seconds that transactions may take to end after SIGTERM, so that the rest of the grace period suffices for the rest."""
        return max(1.0, self.grace_seconds - 10)

    def prefetch(self) -> int:
        """Messages that each queue may have handed over and not yet acked."""
        return max(8, MESSAGES_HELD // (2 * self.shards))
