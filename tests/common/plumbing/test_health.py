import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.plumbing.health import HEAD_BYTES, Readiness, answer, open_health_server, overall

states = st.sampled_from(Readiness)


@given(st.dictionaries(st.text(max_size=5), states))
def test_a_service_is_as_ready_as_its_worst_check(checks: dict[str, Readiness]) -> None:
    order = [Readiness.READY, Readiness.DEGRADED, Readiness.NOT_READY]
    assert overall(checks) is max(checks.values(), key=order.index, default=Readiness.READY)


@given(st.binary(max_size=200))
def test_any_head_gets_an_answer(head: bytes) -> None:
    line, _, _ = answer(head, {})
    assert line.split(" ")[0] in ("200", "400", "404", "405")


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /health HTTP/1.1", "200 OK"),
        (b"GET /health?x=1 HTTP/1.0", "200 OK"),
        (b"GET /metrics HTTP/1.1", "200 OK"),
        (b"GET / HTTP/1.1", "404 Not Found"),
        (b"POST /health HTTP/1.1", "405 Method Not Allowed"),
        (b"GET /health", "400 Bad Request"),
        (b"", "400 Bad Request"),
    ],
)
def test_paths_and_methods(request_line: bytes, status: str) -> None:
    assert answer(request_line + b"\r\nHost: x\r\n\r\n", {})[0] == status


@pytest.mark.parametrize(
    ("cache", "broker", "status", "word"),
    [
        (Readiness.READY, Readiness.READY, "200 OK", "ready"),
        (Readiness.DEGRADED, Readiness.READY, "200 OK", "degraded"),
        (Readiness.DEGRADED, Readiness.NOT_READY, "503 Service Unavailable", "not_ready"),
    ],
)
def test_ready_names_each_check(cache: Readiness, broker: Readiness, status: str, word: str) -> None:
    line, _, body = answer(b"GET /ready HTTP/1.1\r\n\r\n", {"cache": lambda: cache, "broker": lambda: broker})
    assert line == status
    assert msgspec.json.decode(body) == {"status": word, "checks": {"cache": cache.value, "broker": broker.value}}


async def ask(port: int, wire: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(wire)
    answered = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answered


async def test_the_server_answers_and_bounds_what_it_reads() -> None:
    server = await open_health_server("127.0.0.1", 0, {})
    port = server.sockets[0].getsockname()[1]
    async with server:
        assert (await ask(port, b"GET /health HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"# TYPE process_" in await ask(port, b"GET /metrics HTTP/1.1\r\n\r\n")
        assert (await ask(port, b"HEAD /health HTTP/1.1\r\n\r\n")).endswith(b"\r\n\r\n")
        assert (await ask(port, b"\x16\x03\x01 not http\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
        assert (await ask(port, b"GET /" + b"x" * 2 * HEAD_BYTES)).startswith(b"HTTP/1.1 400 ")
