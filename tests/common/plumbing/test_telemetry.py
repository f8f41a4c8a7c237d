import asyncio
import json
import subprocess
import sys
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.plumbing.crypto import new_api_key
from scaisend_common.plumbing.telemetry import LOOP_LAG, watch_loop, without_addresses, without_secrets

SAYS = """
import logging, structlog
from scaisend_common.plumbing.telemetry import configure
configure("small", {level!r})
log = structlog.get_logger()
log.debug("fine", to="someone@example.com")
log.info("unit", delivery_id="d.0.0", ms=3, path=("default", "site"), to="someone@example.com")
logging.getLogger("lib").warning("from %s to %s", "amqp://user:hush@broker", "someone@example.com")
logging.getLogger("lib").info("chatter")
log.info("odd", surrogate="\\ud800", huge=2**70, keys={{(1, 2): 3}}, to="someone@example.com")
try:
    raise ValueError("bad someone@example.com")
except ValueError:
    log.exception("failed")
"""


def lines_said(level: str) -> list[dict[str, object]]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SAYS.format(level=level)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_log_line_is_json_with_time_level_service_and_event_first() -> None:
    unit, library, odd, failed = lines_said("INFO")
    assert list(unit)[:4] == ["time", "level", "service", "event"]
    assert unit | {"time": ""} == {
        "time": "",
        "level": "info",
        "service": "small",
        "event": "unit",
        "delivery_id": "d.0.0",
        "ms": 3,
        "path": ["default", "site"],
        "to": "so***@example.com",
    }
    assert library["event"] == "from amqp://user:***@broker to so***@example.com"
    assert library["level"] == "warning"
    assert (odd["huge"], odd["to"]) == (2**70, "so***@example.com")
    assert "ValueError: bad so***@example.com" in str(failed["exception"])


def test_addresses_are_shown_at_debug_only_and_secrets_never() -> None:
    fine, unit, library, _, failed = lines_said("DEBUG")
    assert fine["to"] == unit["to"] == "someone@example.com"
    assert library["event"] == "from amqp://user:***@broker to someone@example.com"
    assert "someone@example.com" in str(failed["exception"])


def as_line(**values: object) -> str:
    return msgspec.json.encode(values, enc_hook=str).decode()


@given(st.text(max_size=20), st.text(max_size=20))
def test_an_api_key_is_blotted_out_wherever_it_stands(before: str, after: str) -> None:
    key = new_api_key().text
    for blot in (without_addresses, without_secrets):
        line = blot(as_line(a=f"{before} {key} {after}", b=[key], c={"d": {key}}, e=ValueError(key)))
        assert key[8:] not in line
        assert json.loads(line)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("someone@example.com", "so***@example.com"),
        ("<x@example.com>, y.z@sub.example.org", "<x***@example.com>, y.***@sub.example.org"),
        ("jürgen@müller.example", "jü***@müller.example"),
        ("a line\nsomeone@example.com\tand", "a line\nso***@example.com\tand"),
        ("\x01\x02someone@example.com", "\x01\x02so***@example.com"),
        ('"some one"@example.com', '"some one"@example.com'),
        ("amqp://user:pass@host.example:5672/v", "amqp://user:***@host.example:5672/v"),
        ("no address @ all", "no address @ all"),
        ("user@localhost", "user@localhost"),
    ],
)
def test_the_local_part_of_an_address_is_blotted_out(text: str, shown: str) -> None:
    assert json.loads(without_addresses(as_line(event=text))) == {"event": shown}


texts = st.text() | st.text(alphabet='ab@.:/"\\\n\x01<> SG-')


@given(st.dictionaries(st.sampled_from(["to", "why", "url"]), texts))
def test_a_line_stays_json_with_the_same_keys(values: dict[str, str]) -> None:
    assert json.loads(without_addresses(as_line(**values))).keys() == values.keys()


@given(
    st.from_regex(r"[a-z]{3,20}(\.[a-z0-9]{1,10})?", fullmatch=True),
    st.from_regex(r"[a-z]{1,10}\.[a-z]{2,5}", fullmatch=True),
    st.text(alphabet="\n\t <(\"'\x01", max_size=3),
)
def test_no_address_survives_whole(local: str, domain: str, before: str) -> None:
    assert f"{local}@{domain}" not in without_addresses(as_line(to=f"{before}{local}@{domain}"))


def test_a_long_line_is_read_in_bounded_time() -> None:
    began = time.monotonic()
    without_addresses(as_line(body="ab" * 200_000 + "@", other="a@" * 50_000, more="://" * 50_000))
    assert time.monotonic() - began < 5


async def test_the_lag_of_a_blocked_loop_is_seen() -> None:
    def seen() -> float:
        return next(sample.value for metric in LOOP_LAG.collect() for sample in metric.samples if sample.name.endswith("_sum"))

    async def oversleep(seconds: float) -> None:
        await asyncio.sleep(seconds + 0.2)

    before = seen()
    watch = asyncio.create_task(watch_loop(0.01, oversleep))
    await asyncio.sleep(0.3)
    watch.cancel()
    assert seen() - before >= 0.19
