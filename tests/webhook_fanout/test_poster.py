from __future__ import annotations

from time import perf_counter

import pytest

from scaisend_webhook_fanout.poster import NotTaken, Poster, Taken


async def test_a_2xx_is_taken_and_the_body_arrives_as_it_was(endpoint_server) -> None:  # type: ignore[no-untyped-def]
    async with Poster(allow_private=True) as poster:
        assert await poster.post(endpoint_server.url(), b"[{}]\r\n", {"X-Own": "1"}) == Taken()
    ((path, headers, body),) = endpoint_server.posts
    assert (path, body) == ("/hook", b"[{}]\r\n")
    assert headers["Content-Type"] == "application/json;charset=utf-8"
    assert headers["User-Agent"] == "SendGrid Event API"
    assert headers["X-Own"] == "1"


@pytest.mark.parametrize("status", [301, 400, 401, 404, 410, 429, 500, 503])
async def test_anything_else_is_not_taken(endpoint_server, status: int) -> None:  # type: ignore[no-untyped-def]
    endpoint_server.status = status
    async with Poster(allow_private=True) as poster:
        assert await poster.post(endpoint_server.url(), b"[]", {}) == NotTaken(f"status {status}")


async def test_a_redirect_is_not_followed(endpoint_server) -> None:  # type: ignore[no-untyped-def]
    async with Poster(allow_private=True) as poster:
        assert await poster.post(endpoint_server.url("/redirect"), b"[]", {}) == NotTaken("status 302")
    assert [path for path, _, _ in endpoint_server.posts] == ["/redirect"]


@pytest.mark.parametrize(("path", "taken"), [("/hang", False), ("/endless", True), ("/long-header", False), ("/bomb", True)])
async def test_a_hostile_endpoint_costs_a_bounded_time(endpoint_server, path: str, taken: bool) -> None:  # type: ignore[no-untyped-def]
    begun = perf_counter()
    async with Poster(allow_private=True, total_seconds=1) as poster:
        outcome = await poster.post(endpoint_server.url(path), b"[]", {})
    assert isinstance(outcome, Taken) is taken
    assert perf_counter() - begun < 4


async def test_nobody_listening_is_not_taken(free_port) -> None:  # type: ignore[no-untyped-def]
    async with Poster(allow_private=True) as poster:
        assert isinstance(await poster.post(f"http://127.0.0.1:{free_port()}/", b"[]", {}), NotTaken)
