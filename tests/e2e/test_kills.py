"""Killed at any line, stopped in order: nothing lost, nothing repeated that was not in doubt."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Iterator

import pytest
from tests.conftest import Shared
from tests.e2e import checker
from tests.e2e.conftest import Town, town
from tests.e2e.flood import Flood

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("kills"), pytest.mark.timeout(400)]
FEW = 4
SERVICES = ["deliverer", "scheduler", "api", "webhook-fanout", "bounce-inbound"]


@pytest.fixture(scope="module")
def there(shared: Shared, tmp_path_factory: pytest.TempPathFactory, worker_number: int) -> Iterator[Town]:
    """A town of this module's own: its processes die."""
    with town(shared, tmp_path_factory.mktemp("kills"), each=2, redis_index=32 + worker_number) as made:
        yield made


async def drained(there: Town, accepted: checker.Accepted, within: float = 90) -> None:
    deadline = asyncio.get_running_loop().time() + within
    while left := await checker.unsettled(accepted, there.fleet.admin_dsn):
        assert asyncio.get_running_loop().time() < deadline, f"{len(left)} submissions not at an end, as {left[:3]}"
        await asyncio.sleep(0.5)


@pytest.mark.parametrize("service", SERVICES)
async def test_sigterm_under_load_loses_and_repeats_nothing(there: Town, service: str) -> None:
    flood = Flood(there, 300, 100)
    running = asyncio.create_task(flood.run())
    await asyncio.sleep(1)
    victim = there.fleet.of(service)[0]
    status = await asyncio.to_thread(victim.stop)
    there.fleet.ready(there.fleet.start(service))
    accepted = await running
    assert status == 0, victim.log.read_text()[-2000:]
    await drained(there, accepted)
    counts = await _own(there, accepted, set())
    assert counts["twice"] == 0


@pytest.mark.parametrize("service", ["deliverer", "scheduler", "api"])
async def test_kill_under_load_loses_nothing_and_repeats_only_what_was_in_doubt(there: Town, service: str) -> None:
    flood = Flood(there, 300, 100)
    running = asyncio.create_task(flood.run())
    await asyncio.sleep(1)
    for victim in there.fleet.of(service)[:1]:
        victim.kill()
    doubted = checker.in_doubt(there.fleet.servers["LEDGER_URL"])
    there.fleet.ready(there.fleet.start(service))
    accepted = await running
    await drained(there, accepted)
    await _own(there, accepted, doubted)


async def test_two_deliverers_share_the_shards_and_a_frozen_one_loses_its_own(there: Town) -> None:
    await _freeze_a_deliverer(there, Flood(there, 300, 60), 25)
    assert max(_most_connections(there).values()) <= 20


@pytest.fixture
def tight(shared: Shared, tmp_path_factory: pytest.TempPathFactory, worker_number: int) -> Iterator[Town]:
    """A town that may open few connections to a site, so that it needs all of them."""
    settings = {"SCAISEND_CONNECTIONS_PER_PATH": str(FEW)}
    with town(shared, tmp_path_factory.mktemp("tight"), each=2, settings=settings, redis_index=40 + worker_number) as made:
        yield made


@pytest.mark.faults
async def test_a_deliverer_frozen_for_a_minute_under_load_costs_no_mail_and_no_site_a_connection_too_many(tight: Town) -> None:
    await _freeze_a_deliverer(tight, Flood(tight, 2800, 40, who="slow-0.15"), 60, within=150)
    most = _most_connections(tight)
    assert max(most.values()) <= FEW
    assert max(most.values()) > 1, "the load was too small to tell"


async def _freeze_a_deliverer(there: Town, flood: Flood, seconds: float, within: float = 90) -> None:
    """Stop one of two for a while under load, let it go on, and judge what came of it."""
    first, *_ = there.fleet.of("deliverer")
    running = asyncio.create_task(flood.run())
    await asyncio.sleep(3)
    first.signal(signal.SIGSTOP)
    await asyncio.sleep(0.2)  # what it had sent arrives in the ledger
    doubted = checker.in_doubt(there.fleet.servers["LEDGER_URL"])
    await asyncio.sleep(seconds)
    first.signal(signal.SIGCONT)
    accepted = await running
    await drained(there, accepted, within)
    await _own(there, accepted, doubted)
    assert first.is_running()


def _most_connections(there: Town) -> Counter[str]:
    """The most connections that each site saw at once."""
    open_now: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for entry in sorted(there.receipts_of("open") + there.receipts_of("close"), key=lambda entry: float(entry["at"])):
        open_now[entry["site"]] += 1 if entry["what"] == "open" else -1
        most[entry["site"]] = max(most[entry["site"]], open_now[entry["site"]])
    return most


async def _own(there: Town, accepted: checker.Accepted, doubted: set[str]) -> dict[str, int]:
    """Check one flood alone: the receipts of others are not its own."""
    everything = checker.receipts(there.receipts)
    tags = {recipient.partition("+")[2].partition(".")[0] for recipient in accepted.recipients}
    own = [entry for entry in everything if entry["rcpt"].partition("+")[2].partition(".")[0] in tags]
    return checker.judge(accepted, own, await checker.states(there.fleet.admin_dsn), doubted)


async def test_a_suspended_tenants_waiting_mail_is_dropped(there: Town) -> None:
    message_id = there.send("defer-99+suspended@plain.test")
    await there.settled(message_id, "deferred")
    there.fleet.scaisend("tenant", "suspend", "shop")
    try:
        await there.settled(message_id, "dropped", within=60)
    finally:
        there.fleet.scaisend("tenant", "resume", "shop")
