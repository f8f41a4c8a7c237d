"""A town for the end-to-end tests: the small internet, and two of each service beside it, shared by the tests of one worker."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from time import sleep
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
import redis
from sendgrid import SendGridAPIClient
from tests.conftest import TEMPLATE, Shared
from tests.e2e.fleet import Fleet, call, eventually
from tests.e2e.ruins import ALL, Ruins, ruins

from devstack import databases, servers
from scaisend_common.plumbing.amqp.declare import declare
from scaisend_common.topology import EXCHANGES, Topology

SENDER = "shop@sender.test"
SENDER_DOMAIN = "sender.test"


@dataclass
class Town:
    """What an end-to-end test acts on and looks at."""

    fleet: Fleet
    inbox_url: str
    receipts: Path
    api_key: str
    sandbox: subprocess.Popen[bytes]
    sender: str = SENDER

    def tenant(self, name: str) -> Town:
        """The same town as another tenant, who is made and sends from `<name>.test`."""
        key = _settle_in(self.fleet, self.inbox_url, name, f"{name}.test")
        return replace(self, api_key=key, sender=f"shop@{name}.test")

    @property
    def client(self) -> SendGridAPIClient:
        return SendGridAPIClient(self.api_key, host=self.fleet.api_url)

    def send(self, to: str, **changes: Any) -> str:
        """Send one ordinary mail by plain HTTP; return X-Message-Id."""
        body: dict[str, Any] = {
            "personalizations": [{"to": [{"email": to}]}],
            "from": {"email": self.sender, "name": "The Shop"},
            "subject": "Your order",
            "content": [{"type": "text/plain", "value": "Thank you."}, {"type": "text/html", "value": "<p>Thank you.</p>"}],
        } | changes
        status, headers, answer = call("POST", f"{self.fleet.api_url}/v3/mail/send", body, self.api_key)
        assert (status, answer) == (202, b"")
        return headers["x-message-id"]

    def inbox(self, to: str) -> list[dict[str, Any]]:
        return list(json.loads(call("GET", f"{self.inbox_url}/messages?to={quote(to)}")[2]))

    def raw(self, mail: dict[str, Any]) -> bytes:
        return call("GET", f"{self.inbox_url}/messages/{mail['id']}/raw")[2]

    def timeline(self, message_id: str) -> dict[str, Any]:
        status, _, body = call("GET", f"{self.fleet.api_url}/v3/messages/{message_id}", key=self.api_key)
        return dict(json.loads(body)) if status == 200 else {}

    async def settled(self, message_id: str, state: str, within: float = 20) -> dict[str, Any]:
        """The first delivery of a submission, once its status is `state`."""

        def look() -> dict[str, Any] | None:
            deliveries = self.timeline(message_id).get("deliveries") or [{}]
            return deliveries[0] if deliveries[0].get("status") == state else None

        try:
            return await eventually(look, within=within, why=f"{message_id} is {state}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {self.timeline(message_id)}") from None

    async def arrived(self, to: str, count: int = 1, within: float = 20) -> list[dict[str, Any]]:
        """The mails for an address, once there are `count`."""
        return await eventually(lambda: found if len(found := self.inbox(to)) >= count else None, within=within, why=f"{count} for {to}")

    def receipts_of(self, what: str = "mail") -> list[dict[str, Any]]:
        """The sandbox's own record, which trusts no service."""
        lines = self.receipts.read_text().splitlines() if self.receipts.exists() else []
        return [entry for line in lines if (entry := json.loads(line))["what"] == what]


@contextmanager
def town(shared: Shared, logs: Path, *, each: int, settings: dict[str, str] | None = None, redis_index: int) -> Iterator[Town]:
    """Make one: a database, a vhost, Redis indexes, a sandbox, the fleet; everything ends with the block."""
    name = f"e{uuid4().hex[:12]}"
    with (shared.place / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        databases.create(shared.urls.postgres_dsn, name, template=TEMPLATE)
    servers.create_vhost(shared.urls.amqp_admin_url, name)
    amqp_url = shared.urls.amqp_url.replace("%2F", name)
    asyncio.run(declare(amqp_url, EXCHANGES, Topology().queues(), settle=timedelta(seconds=1)))
    redis_url = f"{shared.urls.redis_url.rpartition('/')[0]}/{redis_index}"
    ledger_url = f"{shared.urls.ledger_url.rpartition('/')[0]}/{redis_index}"
    for url in (redis_url, ledger_url):
        with redis.Redis.from_url(url) as client:
            client.flushdb()
    fleet = Fleet(
        servers={"AMQP_URL": amqp_url, "REDIS_URL": redis_url, "LEDGER_URL": ledger_url},
        dsn=lambda service: databases.at(shared.urls.postgres_dsn, name, f"scaisend_{service}"),
        admin_dsn=databases.at(shared.urls.postgres_dsn, name),
        free_port=servers.free_port,
        logs=logs,
        settings={"SCAISEND_RETRY_FIRST": "0.5", "SCAISEND_RETRY_FACTOR": "1", "SCAISEND_RETRY_CAP": "2.5", **(settings or {})},
    )
    receipts = logs / "receipts.jsonl"
    with (logs / "sandbox.log").open("wb") as log:
        sandbox = subprocess.Popen(
            [sys.executable, "-m", "sandbox", "--bounce", f"127.0.0.1:{fleet.inbound_port}", "--receipts", str(receipts)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "tools")},
            stdout=subprocess.PIPE,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
    try:
        assert sandbox.stdout
        places = json.loads(sandbox.stdout.readline())
        fleet.settings |= {"SCAISEND_DNS": places["dns"], "SCAISEND_REMOTE_SMTP_PORT": str(places["smtp_port"])}
        key = _settle_in(fleet, places["inbox_url"])
        fleet.start_all(each)
        yield Town(fleet, places["inbox_url"], receipts, key, sandbox)
    finally:
        fleet.end()
        sandbox.send_signal(signal.SIGTERM)
        sandbox.wait(10)
        if sandbox.stdout:
            sandbox.stdout.close()
        servers.delete_vhost(shared.urls.amqp_admin_url, name)
        databases.drop(shared.urls.postgres_dsn, name)


def _settle_in(fleet: Fleet, inbox_url: str, tenant: str = "shop", domain: str = SENDER_DOMAIN) -> str:
    """Make a tenant with a verified domain, as its owner would: the records published, then looked up. Returns its API key."""
    fleet.scaisend("partner", "create", "house", "--if-missing")
    fleet.scaisend("tenant", "create", tenant, "--partner", "house")
    fleet.scaisend("domain", "create", tenant, domain)
    key = fleet.scaisend("key", "create", tenant, "--name", "all")["api_key"]
    records = fleet.scaisend("domain", "dns", tenant, domain)
    published = [{"name": each["name"], "type": each["type"], "value": each["value"]} for each in records]
    status, _, answer = call("POST", f"{inbox_url}/dns", published)
    assert status < 300, answer
    fleet.scaisend("domain", "verify", tenant, domain)
    return str(key)


@pytest.fixture(scope="session")
def here(shared: Shared, tmp_path_factory: pytest.TempPathFactory, worker_number: int) -> Iterator[Town]:
    """The town that most tests share: they use addresses of their own."""
    with town(shared, tmp_path_factory.mktemp("town"), each=2, redis_index=16 + worker_number) as made:
        yield made


@pytest.fixture(scope="session")
def hooks(here: Town) -> Town:
    """A tenant of the shared town whose endpoint the tests set as they like."""
    return here.tenant("hooks")


@dataclass(frozen=True)
class FallingTown:
    """A town on servers of its own, which are killed."""

    town: Town
    ruins: Ruins


@pytest.fixture(scope="session")
def falling(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FallingTown]:
    """One that stands again after each test."""
    with ruins() as own, town(own.shared, tmp_path_factory.mktemp("falling"), each=2, redis_index=0) as made:
        sleep(5)  # a queue that was just declared may not survive a kill of the broker (rabbitmq-server #15725)
        try:
            yield FallingTown(made, own)
        finally:
            own.restart(*ALL)
