"""ScaiSend as the bench runs it: the development stack in a place of its own, production durability, its mail led to the bench's sinks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from urllib.request import Request, urlopen

import asyncpg

from bench.mails import DOMAINS, STAMPED, domain
from bench.sinks import SINK, SITES, STAMP
from devstack import servers
from devstack.place import CHECKOUT
from devstack.process import pid_of
from devstack.settings import DEMO_DOMAIN, choices, numbers, server_urls
from devstack.up import bring_down, bring_up

SENDER = f"bench@{DEMO_DOMAIN}"


@dataclass(frozen=True, slots=True)
class House:
    """A running stack."""

    place: Path
    sink_port: int
    api_port: int
    api_key: str

    def groups(self) -> dict[str, list[int]]:
        """The root pids of each kind of process."""
        found = {"rabbitmq": ["rabbitmq", "epmd"], "postgres": ["postgres"], "redis": ["redis", "ledger"]}
        found |= {service: [f"{service}.{n}" for n in range(1, count + 1)] for service, count in numbers().items()}
        return {group: [pid for name in names if (pid := pid_of(self.place, name))] for group, names in found.items()}

    def publish(self, records: list[dict[str, str]]) -> None:
        """Have the sandbox's DNS know these records: name, type, value."""
        url = f"http://127.0.0.1:{choices(self.place).inbox}/dns"
        request = Request(url, data=json.dumps(records).encode(), headers={"Content-Type": "application/json"})
        with urlopen(request, timeout=10):
            pass

    async def ask(self, question: str, *arguments: object) -> object:
        """One value from Postgres, as the administrator."""
        connection = await asyncpg.connect(server_urls(self.place).postgres_dsn)
        try:
            return await connection.fetchval(question, *arguments, timeout=900)
        finally:
            await connection.close()

    async def claim_each(self, rows: int, times: int) -> list[float]:
        """Claim due rows of `later` and forget them, as a scheduler does, many times; return the seconds of each claim but the first."""
        connection = await asyncpg.connect(server_urls(self.place).postgres_dsn)
        try:
            seconds = []
            for _ in range(times + 1):
                begun = perf_counter()
                claimed = await connection.fetch("SELECT * FROM later_claim($1, interval '60 seconds')", rows)
                seconds.append(perf_counter() - begun)
                if len(claimed) < rows:
                    raise RuntimeError(f"only {len(claimed)} rows were due")
                keys = [[row[name] for row in claimed] for name in ("tenant_id", "due_at", "delivery_id", "attempt")]
                await connection.execute("SELECT later_forget($1, $2, $3, $4)", *keys)
            return seconds[1:]
        finally:
            await connection.close()

    def dkim_records(self) -> dict[str, str]:
        """The TXT records of the sending domain, by name."""
        return {
            each["name"].rstrip(".") + ".": each["value"]
            for each in json.loads((self.place / "records.json").read_text())
            if each["type"] == "TXT"
        }


@contextmanager
def house(sink_port: int, report, *, settings: dict[str, str] | None = None) -> Iterator[House]:  # type: ignore[no-untyped-def]
    """Bring a stack up for the bench and take it down again; its data is made anew each time."""
    place = Path(f"/var/tmp/scaisend-bench-{sha256(str(CHECKOUT).encode()).hexdigest()[:12]}")  # noqa: S108 - our own folder
    if place.exists():
        bring_down(place, lambda _: None)
        shutil.rmtree(place)
    place.mkdir(mode=0o755)
    given = {"SCAISEND_REMOTE_SMTP_PORT": str(sink_port), "SCAISEND_LOG_LEVEL": "WARNING", "SCAISEND_DELIVERERS": "2", **(settings or {})}
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        bring_up(place, report)
        env = dict(line.split("=", 1) for line in (place / "env").read_text().splitlines())
        made = House(place, sink_port, choices(place).api, env["SCAISEND_API_KEY"])
        made.publish(_recipients())
        yield made
    finally:
        bring_down(place, lambda _: None)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        shutil.rmtree(place, ignore_errors=True)


def _recipients() -> list[dict[str, str]]:
    """What leads the recipient domains to the sinks: each site of its own operator, so that each is a path of its own."""
    records = [{"name": f"mx.op{n}.test", "type": "A", "value": SINK} for n in range(SITES)]
    records.append({"name": "mx.stamp.test", "type": "A", "value": STAMP})
    for n in range(DOMAINS):
        host = "mx.stamp.test" if n < STAMPED else f"mx.op{n % SITES}.test"
        records.append({"name": domain(n), "type": "MX", "value": f"10 {host}"})
    return records


def commit() -> str:
    """The commit that is measured, with a plus where the tree differs from it (but for results)."""
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=CHECKOUT, capture_output=True, text=True, check=False).stdout.strip()
    dirty = subprocess.run(
        ["git", "status", "--porcelain", "--", ".", ":!bench/results"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    ).stdout.strip()
    return f"{head}+" if dirty else head


free_port = servers.free_port
