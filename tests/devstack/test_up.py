"""`make up`, `make demo` and `make down` as they are, in a place of their own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.demo import demo
from devstack.process import names, pid_of
from devstack.settings import health_urls, read_variables
from devstack.up import bring_down, bring_up, is_ready
from devstack.watchdog import marked

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture
def own(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place for one stack; whatever it starts carries its mark."""
    for name in ("AMQP_URL", "POSTGRES_DSN", "REDIS_URL", "LEDGER_URL"):
        monkeypatch.delenv(name, raising=False)
    own = place / "up"
    own.mkdir(mode=0o755)
    yield own
    bring_down(own, print)


def test_up_is_idempotent_demo_sees_its_mail_and_down_leaves_nothing(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bring_up(own, print)
    pids = {name: pid_of(own, name) for name in names(own)}
    assert {"rabbitmq", "postgres", "redis", "ledger", "sandbox", "api.1", "scheduler.2", "deliverer.1", "deliverer.2"} <= pids.keys()
    assert all(is_ready(f"{url}/ready")[0] for urls in health_urls(own).values() for url in urls)
    said = read_variables(own)

    steps: list[str] = []
    bring_up(own, steps.append)
    assert steps == []
    assert {name: pid_of(own, name) for name in names(own)} == pids
    assert read_variables(own) == said

    monkeypatch.setenv("SCAISEND_SCHEDULERS", "1")
    bring_up(own, steps.append)
    assert steps == ["stopping scheduler.1, which has another part now", "starting scheduler.1", "stopping scheduler.2"]

    demo(read_variables(own), print)  # and it sees the timeline: the one scheduler that is left records

    bring_down(own, print)
    assert names(own) == []
    assert not {pid for pid in pids.values() if pid} & set(marked(Path(os.environ["SCAISEND_TEST_PLACE"])))
    assert not any(Path(f"/proc/{pid}").exists() and is_ours(pid, own) for pid in pids.values() if pid)


def is_ours(pid: int, place: Path) -> bool:
    return str(place) in Path(f"/proc/{pid}/cmdline").read_text()
