from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.plumbing.amqp.url import BrokerUrl, parse_url

_texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)


@given(_texts, _texts, _texts, st.integers(1, 65535))
def test_every_part_may_be_percent_encoded(user: str, password: str, vhost: str, port: int) -> None:
    url = f"amqp://{quote(user, safe='')}:{quote(password, safe='')}@mq.example:{port}/{quote(vhost, safe='')}"
    assert parse_url(url) == BrokerUrl("mq.example", port, user, password, vhost, tls=False)


@pytest.mark.parametrize(
    ("url", "port", "vhost", "tls"),
    [
        ("amqp://h", 5672, "/", False),
        ("amqp://h/", 5672, "", False),
        ("amqp://h/%2F", 5672, "/", False),
        ("amqps://h/mail", 5671, "mail", True),
        ("amqp://[::1]:99/a%2fb", 99, "a/b", False),
    ],
)
def test_what_is_not_said_has_the_usual_value(url: str, port: int, vhost: str, tls: bool) -> None:
    parsed = parse_url(url)
    assert (parsed.port, parsed.vhost, parsed.tls) == (port, vhost, tls)
    assert (parsed.user, parsed.password) == ("guest", "guest")


def test_the_password_is_not_shown() -> None:
    assert "hush" not in repr(parse_url("amqp://u:hush@h"))


@pytest.mark.parametrize("url", ["http://h", "h:5672", "amqp://u:a#b@h:c", "amqp://h:99999"])
def test_what_is_no_broker_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        parse_url(url)
