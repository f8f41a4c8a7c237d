"""The api as a process, beside real servers: started, asked over plain HTTP, ended by pid."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from secrets import token_bytes
from time import monotonic, sleep
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import asyncpg

from scaisend_common.plumbing.crypto import KeyRing, api_key_mac, new_api_key

DOMAIN = "sender.test"


@dataclass(frozen=True)
class Reply:
    """What came back; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class World:
    """One api process and what it works with."""

    environment: dict[str, str]
    port: int
    health_port: int
    admin_dsn: str
    peppers: KeyRing
    log: Path
    popen: subprocess.Popen[bytes] | None = None
    tenants: dict[str, str] = field(default_factory=dict)
    may_fail: bool = False

    def start(self, **extra: str) -> None:
        with self.log.open("ab") as out:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "scaisend_api"],
                env=self.environment | extra,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        deadline = monotonic() + 20
        while monotonic() < deadline:
            assert self.popen.poll() is None, self.log.read_text()[-3000:]
            try:
                self.call("GET", "/")
            except OSError:
                sleep(0.05)
            else:
                return
        raise AssertionError(self.log.read_text()[-3000:])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.popen is None:
            return 0
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        return self.popen.wait(20)

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def send(self, key: str, request: Any, **headers: str) -> Reply:
        raw = request if isinstance(request, bytes) else json.dumps(request).encode()
        return self.call("POST", "/v3/mail/send", raw, **{"Authorization": f"Bearer {key}", "Content-Type": "application/json"} | headers)

    def get(self, key: str, path: str) -> Reply:
        return self.call("GET", path, Authorization=f"Bearer {key}")

    def post(self, key: str, path: str, body: Any, method: str = "PATCH") -> Reply:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.call(method, path, raw, Authorization=f"Bearer {key}", Content_Type="application/json")

    def ready(self) -> tuple[int, dict[str, Any]]:
        try:
            with urlopen(f"http://127.0.0.1:{self.health_port}/ready", timeout=2) as answer:
                return answer.status, json.loads(answer.read())
        except HTTPError as error:
            with error:
                return error.code, json.loads(error.read())
        except URLError:
            return 0, {}

    def metrics(self) -> str:
        with urlopen(f"http://127.0.0.1:{self.health_port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    def peak_mb(self) -> int:
        """The most memory that the process has had."""
        assert self.popen
        lines = Path(f"/proc/{self.popen.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 1024

    async def sql(self, statement: str, *values: object) -> Any:
        connection = await asyncpg.connect(self.admin_dsn)
        try:
            return await connection.fetch(statement, *values)
        finally:
            await connection.close()

    async def tenant(self, slug: str, *, domains: tuple[str, ...] = (DOMAIN,)) -> str:
        """Make a tenant with verified domains; return its id."""
        await self.sql("INSERT INTO partners (slug, name) VALUES ('house', 'House') ON CONFLICT DO NOTHING")
        rows = await self.sql(
            "INSERT INTO tenants (partner_id, slug, name) SELECT id, $1, $1 FROM partners WHERE slug = 'house' RETURNING id", slug
        )
        for domain in domains:
            await self.sql(
                "INSERT INTO sender_domains (tenant_id, domain, challenge, return_path_host, verified_at) VALUES ($1, $2, 'c', $3, now())",
                rows[0]["id"],
                domain,
                f"bounces.{domain}",
            )
        return str(rows[0]["id"])

    async def shop(self) -> str:
        """The tenant that owns sender.test."""
        if "shop" not in self.tenants:
            self.tenants["shop"] = await self.tenant("shop")
        return self.tenants["shop"]

    async def key(self, tenant_id: str, *scopes: str, stream: str | None = None, peppered_by: str | None = None) -> str:
        """Make a key; full access unless scopes are named."""
        key = new_api_key()
        kid = peppered_by or self.peppers.current[0]
        await self.sql(
            "INSERT INTO api_keys (tenant_id, key_id, name, scopes, mac, pepper_kid, stream) VALUES ($1, $2, 'k', $3, $4, $5, $6)",
            tenant_id,
            key.key_id,
            list(scopes or ("*",)),
            api_key_mac(self.peppers[kid], key.text),
            kid,
            stream,
        )
        return key.text

    def log_lines(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == event]


def ring(kid: str = "k1") -> str:
    return f"{kid}:{b64encode(token_bytes(32)).decode()}"


@contextmanager
def world(
    *, amqp_url: str, redis_url: str, postgres_dsn: str, api_dsn: str, free_port: Callable[[], int], place: Path, **settings: str
) -> Iterator[World]:
    """What an api process needs, with settings of its own; started by `start`, ended with the block."""
    peppers = f"{ring('new')},{ring('old')}"
    port, health_port = free_port(), free_port()
    made = World(
        environment={
            "PATH": os.environ["PATH"],
            "SCAISEND_ENV": "development",
            "AMQP_URL": amqp_url,
            "POSTGRES_DSN": api_dsn,
            "REDIS_URL": redis_url,
            "LEDGER_URL": redis_url,
            "SCAISEND_API_PORT": str(port),
            "SCAISEND_HEALTH_PORT": str(health_port),
            "SCAISEND_KEY_PEPPER": peppers,
            "SCAISEND_KEK": ring(),
            "SCAISEND_TOKEN_SECRET": ring(),
            "SCAISEND_GRACE_SECONDS": "10",
            **settings,
        },
        port=port,
        health_port=health_port,
        admin_dsn=postgres_dsn,
        peppers=KeyRing.parse(peppers),
        log=place / "api.log",
    )
    try:
        yield made
    finally:
        made.stop()
        assert made.may_fail or not made.log_lines("request_failed"), made.log.read_text()[-4000:]


def today() -> date:
    return datetime.now(UTC).date()


async def eventually(look: Callable[[], bool], within: float = 10) -> None:
    """Return as soon as `look` says true."""
    deadline = monotonic() + within
    while not await asyncio.to_thread(look):
        assert monotonic() < deadline
        await asyncio.sleep(0.05)
