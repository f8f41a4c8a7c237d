"""Servers of a test's own, as durable as in production: killed, frozen, put into alarm, and brought back."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

import redis
from tests.conftest import TEMPLATE, Shared
from tests.peers.program import await_true

from devstack import databases, packages, servers
from devstack.process import abandon, pid_of
from scaisend_common.schema.migrate import migrate

ALL = ("rabbitmq", "postgres", "redis", "ledger")


@dataclass(frozen=True)
class Ruins:
    """What stands of them."""

    shared: Shared

    @property
    def place(self) -> Path:
        return self.shared.place

    def kill(self, *names: str) -> None:
        """kill -9, all at once, with everything that they started."""
        for name in names:
            self.signal(name, signal.SIGKILL)
        for name in names:
            abandon(self.place, name)

    def restart(self, *names: str) -> None:
        """Start what is dead, and wait until it answers."""
        servers.start(self.place, durable=True, report=lambda _: None, only=names)
        for name, url in (("redis", self.shared.urls.redis_url), ("ledger", self.shared.urls.ledger_url)):
            if name in names:
                with redis.Redis.from_url(url) as client:
                    await_true(partial(_is_loaded, client), f"{name} has its data")

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a server and everything that it started."""
        if pid := pid_of(self.place, name):
            os.killpg(pid, number)

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Stopped, with all connections open, while the block runs."""
        self.signal(name, signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(name, signal.SIGCONT)

    @contextmanager
    def memory_alarm(self) -> Iterator[None]:
        """The broker blocks everybody who publishes while the block runs."""
        self._rabbitmqctl("set_vm_memory_high_watermark", "0.00001")
        try:
            yield
        finally:
            self._rabbitmqctl("set_vm_memory_high_watermark", "0.4")

    def _rabbitmqctl(self, *words: str) -> None:
        roots = [packages.cache() / "debian-rabbitmq/tree", Path("/")]
        found = next(path for root in roots for path in root.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmqctl"))
        subprocess.run([found, *words], env=servers.rabbitmq_env(self.place), check=True, capture_output=True)


def _is_loaded(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.BusyLoadingError:
        return False


@contextmanager
def ruins() -> Iterator[Ruins]:
    """Servers in a place of their own, with the migrated template; they go with the block."""
    place = Path(f"/var/tmp/scaisend-ruins-{uuid4().hex[:8]}")
    place.mkdir(mode=0o755)
    try:
        urls = servers.start(place, durable=True, report=lambda _: None)
        databases.create(urls.postgres_dsn, TEMPLATE)
        asyncio.run(migrate(databases.at(urls.postgres_dsn, TEMPLATE), role_password=databases.ROLE_PASSWORD))
        yield Ruins(Shared(place, urls))
    finally:
        servers.stop_all(place, hastily=True)
        shutil.rmtree(place, ignore_errors=True)
