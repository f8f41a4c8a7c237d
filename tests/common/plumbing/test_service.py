import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from scaisend_common.plumbing.crypto import new_key_ring

SERVICE = Path(__file__).with_name("small_service.py")


@pytest.fixture
def start(free_port):
    started: list[subprocess.Popen[str]] = []

    def start_service(how: str, **settings: str) -> tuple[subprocess.Popen[str], str]:
        port = free_port()
        environment = {
            "PATH": os.environ["PATH"],
            "AMQP_URL": "amqp://127.0.0.1:1",
            "POSTGRES_DSN": "postgresql://user:hush@127.0.0.1:1/none",
            "REDIS_URL": "redis://127.0.0.1:1",
            "LEDGER_URL": "redis://127.0.0.1:1",
            "SCAISEND_HEALTH_PORT": str(port),
            "SCAISEND_TOKEN_SECRET": new_key_ring(),
            "SCAISEND_GRACE_SECONDS": "2",
            **settings,
        }
        process = subprocess.Popen([sys.executable, "-W", "error", str(SERVICE), how], stdout=subprocess.PIPE, text=True, env=environment)
        started.append(process)
        return process, f"http://127.0.0.1:{port}"

    yield start_service
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def get(url: str) -> tuple[int, dict[str, object]]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answered:
            return answered.status, json.load(answered)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


def await_status(url: str, status: int) -> dict[str, object]:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            found, body = get(url)
        except (urllib.error.URLError, ConnectionError):
            found, body = 0, {}
        if found == status:
            return body
        time.sleep(0.05)
    raise AssertionError(f"{url} was never {status}")


def lines_of(process: subprocess.Popen[str]) -> list[dict[str, object]]:
    out, _ = process.communicate(timeout=20)
    return [json.loads(line) for line in out.splitlines()]


def test_a_service_starts_without_its_servers_and_stops_its_loops_in_order(start) -> None:
    process, url = start("steady")
    assert await_status(f"{url}/ready", 200) == {"status": "degraded", "checks": {"service": "ready", "postgres": "degraded"}}
    assert get(f"{url}/health") == (200, {"status": "ok"})
    process.send_signal(signal.SIGTERM)
    lines = lines_of(process)
    assert process.returncode == 0
    told = [(line["event"], line.get("loop")) for line in lines if line["event"] != "database_away"]
    assert told == [
        ("settings", None),
        ("service_started", None),
        ("loop_stopping", "first"),
        ("loop_ended", "first"),
        ("loop_stopping", "second"),
        ("loop_ended", "second"),
        ("service_stopped", None),
    ]
    assert "hush" not in json.dumps(lines)
    assert all(line["service"] == "small" and str(line["time"]).endswith("Z") for line in lines)


def test_sigint_stops_it_likewise(start) -> None:
    process, url = start("steady")
    await_status(f"{url}/ready", 200)
    process.send_signal(signal.SIGINT)
    lines_of(process)
    assert process.returncode == 0


@pytest.mark.parametrize(("how", "why"), [("dies", "loop second died"), ("ends", "loop second ended by itself")])
def test_a_loop_that_ends_before_it_is_told_to_ends_the_process(start, how: str, why: str) -> None:
    process, _ = start(how)
    lines = lines_of(process)
    assert process.returncode == 1
    last = lines[-1]
    assert (last["event"], last["level"], last["why"]) == ("service_failed", "error", why)
    assert ("loop_ended", "first") in [(line["event"], line.get("loop")) for line in lines]
    if how == "dies":
        assert "ZeroDivisionError" in str(last["exception"])


def test_a_loop_that_does_not_stop_is_given_up_when_the_grace_period_ends(start) -> None:
    process, url = start("stubborn")
    await_status(f"{url}/ready", 200)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    lines = lines_of(process)
    assert time.monotonic() - began < 6
    assert process.returncode == 1
    assert lines[-1]["why"] == "not stopped within 2 s: second"


def test_a_stop_that_fails_does_not_keep_the_other_loops_from_stopping(start) -> None:
    process, url = start("unstoppable")
    await_status(f"{url}/ready", 200)
    process.send_signal(signal.SIGTERM)
    lines = lines_of(process)
    assert process.returncode == 1
    assert ("loop_ended", "second") in [(line["event"], line.get("loop")) for line in lines]
    assert lines[-1]["why"] == "loop first could not be stopped"


def test_it_is_alive_but_not_ready_until_its_first_steps_are_done_and_a_signal_ends_the_wait(start) -> None:
    process, url = start("waits")
    await_status(f"{url}/ready", 503)
    assert get(f"{url}/health")[0] == 200
    process.send_signal(signal.SIGTERM)
    events = [line["event"] for line in lines_of(process)]
    assert process.returncode == 0
    assert "service_started" not in events
    assert "waiting_for_schema" in events


def test_wrong_settings_end_it_with_2_before_anything_opens(start) -> None:
    process, _ = start("steady", SCAISEND_SHARDS="many")
    assert lines_of(process) == []
    assert process.returncode == 2


def test_an_error_outside_of_every_loop_is_logged_and_ends_it(start) -> None:
    process, _ = start("broken")
    lines = lines_of(process)
    assert process.returncode == 1
    assert lines[-1]["event"] == "service_failed"
    assert "ZeroDivisionError" in str(lines[-1]["exception"])
