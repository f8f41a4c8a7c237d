import asyncio
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.plumbing.crypto import new_api_key
from scaisend_common.plumbing.telemetry import LOOP_LAG, redact, redact_secrets, watch_loop

SAYS = """
import logging, structlog
from scaisend_common.plumbing.telemetry import configure
configure("small", {level!r})
log = structlog.get_logger()
log.debug("fine", to="someone@example.com")
log.info("unit", delivery_id="d.0.0", ms=3, path=("default", "site"), to="someone@example.com")
logging.getLogger("lib").warning("from %s to %s", "amqp://user:hush@broker", "someone@example.com")
logging.getLogger("lib").info("chatter")
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
    unit, library, failed = lines_said("INFO")
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
    assert "ValueError: bad so***@example.com" in str(failed["exception"])


def test_addresses_are_shown_at_debug_only_and_secrets_never() -> None:
    fine, unit, library, failed = lines_said("DEBUG")
    assert fine["to"] == unit["to"] == "someone@example.com"
    assert library["event"] == "from amqp://user:***@broker to someone@example.com"
    assert "someone@example.com" in str(failed["exception"])


@given(st.text(max_size=20), st.text(max_size=20))
def test_an_api_key_is_blotted_out_wherever_it_stands(before: str, after: str) -> None:
    key = new_api_key().text
    for blot in (redact, redact_secrets):
        line = blot(None, "info", {"event": "x", "a": f"{before} {key} {after}", "b": [key], "c": {"d": {key}}, "e": ValueError(key)})
        assert key not in repr(line)
        assert key[26:] not in repr(line)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("someone@example.com", "so***@example.com"),
        ("<x@example.com>, y.z@sub.example.org", "<x***@example.com>, y.***@sub.example.org"),
        ("jürgen@müller.example", "jü***@müller.example"),
        ("amqp://user:pass@host.example:5672/v", "amqp://user:***@host.example:5672/v"),
        ("no address @ all", "no address @ all"),
        ("user@localhost", "user@localhost"),
    ],
)
def test_the_local_part_of_an_address_is_blotted_out(text: str, shown: str) -> None:
    assert redact(None, "info", {"event": text}) == {"event": shown}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda each: st.lists(each) | st.dictionaries(st.text(), each),
        max_leaves=10,
    )
)
def test_redaction_takes_any_value(value: object) -> None:
    assert json.dumps(redact(None, "info", {"event": "x", "value": value}))


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
