"""What the fixtures promise: servers that answer, walls between tests."""

import asyncio
import json
from collections.abc import Callable
from urllib.request import urlopen

import asyncpg
import redis
from tests.conftest import SmallInternet

from scaisend_common.plumbing.amqp.declare import check_declared
from scaisend_common.topology import Topology


async def test_the_vhost_has_the_whole_topology(amqp_url: str) -> None:
    assert await check_declared(amqp_url, [queue.name for queue in Topology().queues()]) == []


async def test_a_fresh_vhost_is_empty_and_each_is_another(fresh_vhost: Callable[[], str]) -> None:
    first, second = fresh_vhost(), fresh_vhost()
    assert first != second
    assert await check_declared(first, ["later"]) == ["later"]


async def test_the_database_is_migrated_and_services_log_in_as_themselves(postgres_dsn: str, service_dsn: Callable[[str], str]) -> None:
    for service in ("api", "scheduler", "deliverer", "bounce_inbound", "webhook_fanout"):
        connection = await asyncpg.connect(service_dsn(service))
        try:
            assert await connection.fetchval("SELECT current_user") == f"scaisend_{service}"
            assert await connection.fetchval("SELECT current_database()") == postgres_dsn.rpartition("/")[2]
            assert await connection.fetchval("SELECT count(*) FROM tenants") == 0
        finally:
            await connection.close()


def test_the_ledger_keeps_every_write_and_evicts_nothing(ledger_url: str) -> None:
    with redis.Redis.from_url(ledger_url) as client:
        assert client.dbsize() == 0
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_caches_and_ledger_are_two_servers(redis_url: str, ledger_url: str) -> None:
    assert redis_url.rpartition("/")[0] != ledger_url.rpartition("/")[0]


async def test_free_ports_differ(free_port: Callable[[], int]) -> None:
    ports = {free_port() for _ in range(20)}
    servers = [await asyncio.start_server(lambda *_: None, "127.0.0.1", port) for port in ports]
    for server in servers:
        server.close()
    assert len(ports) > 18


def test_the_small_internet_has_an_inbox(sandbox: SmallInternet) -> None:
    with urlopen(f"{sandbox.inbox_url}/messages?to=nobody@tls.test", timeout=5) as answer:
        assert json.loads(answer.read()) == []
