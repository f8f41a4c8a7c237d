from __future__ import annotations

import pytest

from scaisend_webhook_fanout.guard import url_problem
from scaisend_webhook_fanout.poster import NotTaken, Poster

INSIDE = [
    "http://127.0.0.1:{port}/",
    "http://localhost:{port}/",
    "http://LOCALHOST:{port}/",
    "http://localhost.:{port}/",
    "http://127.1:{port}/",
    "http://127.0.1:{port}/",
    "http://127.000.000.001:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0x7f.0.0.1:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://017700000001:{port}/",
    "http://0:{port}/",
    "http://0.0.0.0:{port}/",
    "http://[::]:{port}/",
    "http://[::1]:{port}/",
    "http://[0:0:0:0:0:0:0:1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[::127.0.0.1]:{port}/",
    "http://[64:ff9b::7f00:1]:{port}/",
    "http://[64:ff9b::127.0.0.1]:{port}/",
    "http://[64:ff9b:1::7f00:1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://[2002:7f00:0001:0:0:0:0:1]:{port}/",
    "http://[2001:0:7f00:1::]:{port}/",
    "http://[fe80::1%25lo]:{port}/",
    "http://[fe80::1]:{port}/",
    "http://[fc00::1]:{port}/",
    "http://[fd00:ec2::254]/",
    "http://[ff02::1]/",
    "http://10.0.0.1/",
    "http://10.255.255.255/",
    "http://172.16.0.1/",
    "http://172.31.255.254/",
    "http://192.168.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.0.1/",
    "http://100.64.0.1/",
    "http://192.0.0.1/",
    "http://192.0.2.1/",
    "http://198.18.0.1/",
    "http://198.51.100.1/",
    "http://203.0.113.1/",
    "http://192.88.99.1/",
    "http://224.0.0.1/",
    "http://239.255.255.255/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://127.255.255.254:{port}/",
    "http://①②⑦.⓪.⓪.①:{port}/",
    "http://127。0。0。1:{port}/",
    "http://user@127.0.0.1:{port}/",
    "http://user:password@127.0.0.1:{port}/",
    "http://example.com@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}@example.com/",
    "http://127.0.0.1:0/",
    "http://127.0.0.1:99999/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/_x",
    "ftp://127.0.0.1/",
    "javascript:alert(1)",
    "//127.0.0.1:{port}/",
    "http:///path",
    "http://",
    "",
    "http://ip6-localhost:{port}/",
]


@pytest.mark.parametrize("spelling", INSIDE)
async def test_no_spelling_of_an_inner_address_is_posted_to(spelling: str, endpoint_server) -> None:  # type: ignore[no-untyped-def]
    async with Poster(allow_private=False, total_seconds=3) as poster:
        outcome = await poster.post(spelling.format(port=endpoint_server.port), b"[]\r\n", {})
    assert isinstance(outcome, NotTaken)
    assert endpoint_server.posts == []
    assert endpoint_server.connections == 0


@pytest.mark.parametrize(
    "url", ["http://example.com/hook", "https://user:password@example.com/hook", "https://example.com:8443/a?b=c", "http://[2606:4700::1]/"]
)
def test_ordinary_urls_are_no_problem(url: str) -> None:
    assert url_problem(url) is None
