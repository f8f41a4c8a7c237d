import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from io import StringIO

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from scaisend_common.cli.__main__ import run_command_line
from scaisend_common.mail.address import Address, Mailbox
from scaisend_common.mail.binding import dkim_binding
from scaisend_common.mail.ids import submission_id
from scaisend_common.mail.suppression import SUSPENDED
from scaisend_common.messages import (
    Content,
    Flush,
    Part,
    Personalization,
    Personalizations,
    Stream,
    Submission,
    SubmissionBatch,
    decode_control,
    encode,
)
from scaisend_common.plumbing.amqp import ControlListener, Publisher
from scaisend_common.plumbing.amqp.declare import declare
from scaisend_common.plumbing.amqp.parked import look
from scaisend_common.plumbing.crypto import KeyRing, api_key_mac, key_id_of, new_key_ring, open_sealed
from scaisend_common.plumbing.postgres import administration
from scaisend_common.topology import CONTROL, EXCHANGES, PARKED, Topology

RECIPIENT = Mailbox(Address("ok", "plain.test"))
SUBMISSION = Submission(
    submission_id=submission_id(1_800_000_000_000, bytes(10)),
    tenant_id="t",
    stream=Stream.BULK,
    accepted_at=1.0,
    api_key_id="k",
    sender=RECIPIENT,
    content=Content((Part("text/plain", "hello"),)),
    personalizations=Personalizations((Personalization(to=(RECIPIENT,)),)),
)
PEPPER, KEK = new_key_ring("p1"), new_key_ring("k1")


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str

    @property
    def json(self):
        assert self.status == 0, self.err
        return json.loads(self.out)


@pytest.fixture
def environment(postgres_dsn: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "POSTGRES_DSN": postgres_dsn,
        "SCAISEND_KEY_PEPPER": PEPPER,
        "SCAISEND_KEK": KEK,
        "COLUMNS": "200",
    }


@pytest.fixture
def scaisend(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Run a command line in this process, a tenth of the time; keywords are further environment variables."""

    def run(line: str, **more: str) -> Ran:
        told, complained = StringIO(), StringIO()
        with monkeypatch.context() as patched, redirect_stdout(told), redirect_stderr(complained):
            for name in os.environ:
                patched.delenv(name)
            for name, value in (environment | more).items():
                patched.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                run_command_line(line.split())
        return Ran(int(ended.value.code or 0), told.getvalue(), complained.getvalue())

    return run


@pytest.fixture
def process(environment: dict[str, str]) -> Callable[..., Ran]:
    """Run a command line as a process of its own."""

    def run(line: str, **more: str) -> Ran:
        command = [sys.executable, "-W", "error", "-m", "scaisend_common.cli", *line.split()]
        done = subprocess.run(command, capture_output=True, text=True, env=environment | more, timeout=120, check=False)
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def tenant(scaisend) -> str:
    scaisend("partner create acme")
    return str(scaisend("tenant create shop --partner acme --json").json["id"])


def test_the_version_is_shown(process) -> None:
    assert process("--version").out.startswith("scaisend ")
    assert set(process("--version --json").json) == {"version"}


def test_creating_is_refused_twice_and_harmless_with_if_missing(scaisend) -> None:
    first = scaisend("partner create acme --json").json
    again = scaisend("partner create acme")
    assert (again.status, again.out, again.err) == (1, "", "error: partner 'acme' exists\n")
    assert scaisend("partner create acme --if-missing --json").json == first | {"created": False}
    tenant = scaisend("tenant create shop --partner acme --name Shop --json").json
    assert scaisend("tenant create shop --partner acme").status == 1
    assert scaisend("tenant create shop --partner acme --if-missing --json").json == tenant | {"created": False}
    user = scaisend("user create shop A@Example.com --json").json
    assert scaisend("user create shop a@example.com").status == 1
    assert scaisend("user create shop a@example.com --if-missing --json").json == user | {"created": False}
    assert [row["slug"] for row in scaisend("partner list --json").json] == ["acme"]
    assert [(row["slug"], row["name"], row["partner"], row["state"]) for row in scaisend("--json tenant list").json] == [
        ("shop", "Shop", "acme", "active")
    ]
    assert [row["email"] for row in scaisend("user list shop --json").json] == ["a@example.com"]
    assert scaisend("tenant list").out.splitlines()[0].split() == ["slug", "name", "partner", "number", "state", "id"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("partner create Acme!", "no slug"),
        ("tenant create shop --partner nobody", "no partner 'nobody'"),
        ("user list nobody", "no tenant 'nobody'"),
        ("key create nobody", "no tenant 'nobody'"),
        ("key revoke shop none", "no tenant 'shop'"),
        ("domain dns nobody example.com", "no tenant 'nobody'"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line_with_status_1(scaisend, line: str, told: str) -> None:
    ran = scaisend(line)
    assert ran.status == 1
    assert ran.out == ""
    assert ran.err.startswith("error: ")
    assert told in ran.err


def test_wrong_usage_and_wrong_settings_have_status_2(process) -> None:
    assert process("tenant create").status == 2
    ran = process("domain create shop example.com", POSTGRES_DSN="", SCAISEND_KEK="k1:short")
    assert ran.status == 2
    assert "POSTGRES_DSN: is missing" in ran.err
    assert "SCAISEND_KEK" in ran.err


def test_a_database_that_is_away_is_said_in_one_line(process, free_port) -> None:
    ran = process("tenant list", POSTGRES_DSN=f"postgresql://x:hush@127.0.0.1:{free_port()}/none")
    assert ran.status == 1
    assert ran.err.startswith("error: Postgres: ")
    assert len(ran.err.splitlines()) == 1
    assert "hush" not in ran.err


async def test_a_database_that_is_not_prepared_is_said_in_one_line(scaisend, postgres_dsn, service_dsn) -> None:
    bare = f"{postgres_dsn.rpartition('/')[0]}/postgres"
    ran = await asyncio.to_thread(scaisend, "tenant list", POSTGRES_DSN=bare)
    assert (ran.status, ran.err) == (1, 'error: Postgres: relation "tenants" does not exist: run `scaisend migrate` first\n')
    ran = await asyncio.to_thread(scaisend, "partner list", POSTGRES_DSN=service_dsn("deliverer"))
    assert (ran.status, ran.err) == (1, "error: Postgres: permission denied for table partners: POSTGRES_DSN must name an administrator\n")
    ran = await asyncio.to_thread(scaisend, "migrate", POSTGRES_DSN=service_dsn("deliverer"))
    assert (ran.status, ran.err) == (1, "error: Postgres: migrations run as a superuser, or as a role with BYPASSRLS and CREATEROLE\n")
    async with administration(postgres_dsn) as admin:
        await admin.execute("UPDATE schema_migrations SET checksum = 'x' WHERE version = 1")
    ran = await asyncio.to_thread(scaisend, "migrate")
    assert ran.status == 1
    assert "0001_init.sql was applied in another form" in ran.err


async def test_a_tenants_first_key_has_full_access_and_only_its_mac_is_kept(scaisend, tenant, postgres_dsn) -> None:
    made = await asyncio.to_thread(scaisend, "key create shop --json")
    text = made.json["api_key"]
    assert key_id_of(text) == made.json["key_id"]
    assert made.json["scopes"] == ["*"]
    narrow = await asyncio.to_thread(scaisend, "key create shop --name web --scopes mail.send --stream bulk --json")
    async with administration(postgres_dsn) as admin:
        row = await admin.fetchrow("SELECT * FROM api_keys WHERE key_id = $1", made.json["key_id"])
    assert str(row["tenant_id"]) == tenant
    assert (row["mac"], row["pepper_kid"]) == (api_key_mac(KeyRing.parse(PEPPER)["p1"], text), "p1")
    listed = await asyncio.to_thread(scaisend, "key list shop --json")
    assert [(key["name"], key["scopes"], key["stream"]) for key in listed.json] == [("key", ["*"], None), ("web", ["mail.send"], "bulk")]
    assert text[26:] not in listed.out
    assert (await asyncio.to_thread(scaisend, f"key revoke shop {narrow.json['key_id']} --json")).json["announced"] is False
    assert (await asyncio.to_thread(scaisend, f"key revoke shop {narrow.json['key_id']}")).status == 1


async def test_a_domain_gets_a_dkim_key_that_opens_for_it_alone(scaisend, tenant, postgres_dsn) -> None:
    assert (await asyncio.to_thread(scaisend, "domain create shop Example.com --json")).json["created"] is True
    assert (await asyncio.to_thread(scaisend, "domain create shop example.com")).status == 1
    assert (await asyncio.to_thread(scaisend, "domain create shop example.com --if-missing --json")).json["created"] is False
    async with administration(postgres_dsn) as admin:
        (key,) = await admin.fetch("SELECT * FROM dkim_keys")
    der = open_sealed(KeyRing.parse(KEK), key["kek_kid"], key["sealed_key"], dkim_binding(tenant, "example.com", "s1"))
    assert len(der) > 1000
    records = (await asyncio.to_thread(scaisend, "domain dns shop example.com --json")).json
    assert f"v=DKIM1; k=rsa; p={key['public_key']}" in [record["value"] for record in records]
    zone = await asyncio.to_thread(
        scaisend, "domain dns shop example.com", SCAISEND_INBOUND_NAME="in.esp.test", SCAISEND_SPF="ip4:192.0.2.7"
    )
    assert "bounces.example.com. IN MX 10 in.esp.test." in zone.out
    assert 's1._domainkey.example.com. IN TXT "v=DKIM1; k=rsa; p=' in zone.out


async def test_a_domain_is_verified_by_what_it_publishes(scaisend, tenant, name_server) -> None:
    resolver = {"SCAISEND_DNS": name_server.address}
    await asyncio.to_thread(scaisend, "domain create shop example.com")
    records = (await asyncio.to_thread(scaisend, "domain dns shop example.com --json")).json
    refused = await asyncio.to_thread(scaisend, "domain verify shop example.com", **resolver)
    assert refused.status == 1
    assert "_scaisend.example.com." in refused.err
    assert "s1._domainkey.example.com." in refused.err
    for record in records:
        if record["required"]:
            text = record["value"]
            name_server.zone[f"{record['name']}.", "TXT"] = [" ".join(f'"{text[at : at + 200]}"' for at in range(0, len(text), 200))]
    verified = await asyncio.to_thread(scaisend, "domain verify shop example.com --json", **resolver)
    assert (verified.status, verified.json["verified"]) == (0, True)
    assert (await asyncio.to_thread(scaisend, "domain list shop --json")).json[0]["verified_at"] is not None
    again = await asyncio.to_thread(scaisend, "domain verify shop example.com --json", **resolver)
    assert again.json["was_verified"] is True
    name_server.zone["_scaisend.example.com.", "TXT"] = ["SERVFAIL"]
    unclear = await asyncio.to_thread(scaisend, "domain verify shop example.com", **resolver)
    assert "could not look up _scaisend.example.com" in unclear.err


async def test_two_tenants_never_send_from_one_domain_and_force_is_for_development(scaisend, tenant) -> None:
    await asyncio.to_thread(scaisend, "tenant create rival --partner acme")
    for slug in ("shop", "rival"):
        await asyncio.to_thread(scaisend, f"domain create {slug} example.com")
    refused = await asyncio.to_thread(scaisend, "domain verify shop example.com --force")
    assert "SCAISEND_ENV is not development" in refused.err
    development = {"SCAISEND_ENV": "development"}
    assert (await asyncio.to_thread(scaisend, "domain verify shop example.com --force", **development)).status == 0
    taken = await asyncio.to_thread(scaisend, "domain verify rival example.com --force", **development)
    assert "another tenant sends from example.com already" in taken.err


async def test_suspending_a_tenant_is_written_to_the_ledger_and_announced(process, tenant, ledger_url, amqp_url) -> None:
    heard: asyncio.Queue[object] = asyncio.Queue()
    listening = asyncio.Event()

    async def set_listening() -> None:
        listening.set()

    servers = {"LEDGER_URL": ledger_url, "AMQP_URL": amqp_url}
    listener = ControlListener(amqp_url, CONTROL, decode_control, heard.put, connected=set_listening)
    task = asyncio.create_task(listener.run())
    try:
        async with asyncio.timeout(60), Redis.from_url(ledger_url) as ledger:
            await listening.wait()
            suspended = await asyncio.to_thread(process, "tenant suspend shop --json", **servers)
            assert suspended.json == {"id": tenant, "state": "suspended", "changed": True, "announced": True}
            assert await ledger.get(f"stop:t:{tenant}") == SUSPENDED.encode()
            assert await heard.get() == Flush(tenant_id=tenant)
            assert (await asyncio.to_thread(process, "tenant suspend shop --json", **servers)).json["changed"] is False
            resumed = await asyncio.to_thread(process, "tenant resume shop --json", **servers)
            assert resumed.json == {"id": tenant, "state": "active", "changed": True, "announced": True}
            assert await ledger.get(f"stop:t:{tenant}") is None
    finally:
        await listener.stop()
        await task


async def test_a_suspension_that_the_ledger_did_not_take_says_so_and_is_repaired_by_another_run(
    process, tenant, ledger_url, amqp_url, free_port
) -> None:
    half = await asyncio.to_thread(process, "tenant suspend shop", LEDGER_URL=f"redis://127.0.0.1:{free_port()}", AMQP_URL=amqp_url)
    assert half.status == 1
    assert "run this again" in half.err
    assert (await asyncio.to_thread(process, "tenant list --json")).json[0]["state"] == "suspended"
    again = await asyncio.to_thread(process, "tenant suspend shop --json", LEDGER_URL=ledger_url, AMQP_URL=amqp_url)
    assert again.json["changed"] is False
    async with Redis.from_url(ledger_url) as ledger:
        assert await ledger.exists(f"stop:t:{tenant}")


def test_migrating_again_changes_nothing(scaisend) -> None:
    ran = scaisend("migrate --json", SCAISEND_DB_PASSWORD="")
    assert ran.status == 0
    assert (ran.json["applied"], ran.json["partitions"]) == ([], 0)


def test_declaring_makes_every_queue_and_again_makes_none(scaisend, process, fresh_vhost) -> None:
    broker = {"AMQP_URL": fresh_vhost(), "SCAISEND_SHARDS": "1", "SCAISEND_SUBMIT_LANES": "1", "SCAISEND_EVENT_LANES": "1"}
    first = scaisend("declare --json", **broker)
    assert first.status == 0, first.err
    assert "deliver.default.0.transactional" in first.json["made"]
    again = scaisend("declare --json", **broker)
    assert again.json["made"] == []
    refused = process("declare", AMQP_URL="amqp://127.0.0.1:1")
    assert refused.status == 1
    assert refused.err.startswith("error: the broker at 127.0.0.1:1")


async def test_parked_messages_are_listed_with_their_reasons_and_replayed_as_repeats(scaisend, fresh_vhost) -> None:
    broker = {"AMQP_URL": fresh_vhost(), "SCAISEND_SHARDS": "1", "SCAISEND_SUBMIT_LANES": "1", "SCAISEND_EVENT_LANES": "1"}
    url = broker["AMQP_URL"]
    await declare(url, EXCHANGES, Topology(1, 1, 1).queues(), settle=timedelta(0))
    bodies = [b"\x01broken", encode(SubmissionBatch((SUBMISSION,))), b"\x02newer"]
    async with Publisher(url, name="test") as publisher:
        for body in bodies:
            await publisher.publish(PARKED, "submit.bulk.0", body, headers={"x-parked-why": f"because {body[:3]!r}"})
    for _ in range(2):  # a look leaves everything there
        assert (await asyncio.to_thread(scaisend, "parked list --json", **broker)).json == [{"queue": "submit.bulk.0", "parked": 3}]
        seen = (await asyncio.to_thread(scaisend, "parked list submit.bulk.0 --json", **broker)).json
        assert [(each["bytes"], each["why"]) for each in seen] == [(len(body), f"because {body[:3]!r}") for body in bodies]
    replayed = await asyncio.to_thread(scaisend, "parked replay submit.bulk.0 --most 2 --json", **broker)
    assert replayed.json == {"queue": "submit.bulk.0", "replayed": 2}
    assert [each.body for each in await look(url, "submit.bulk.0", 9)] == [
        bodies[0],
        encode(SubmissionBatch((replace(SUBMISSION, repeat=True),))),
    ]
    assert len((await asyncio.to_thread(scaisend, "parked list submit.bulk.0 --most 1 --json", **broker)).json) == 1
    newer = await asyncio.to_thread(scaisend, "parked replay submit.bulk.0", **broker)
    assert (newer.status, newer.out) == (1, "")
    assert "version 2" in newer.err
    assert [each.body for each in await look(url, "submit.bulk.0.parked", 9)] == [bodies[2]]
    assert (await asyncio.to_thread(scaisend, "parked replay nothing.such", **broker)).status == 1
