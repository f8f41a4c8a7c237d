"""Floods under fire: services, servers and everything at once are killed -9; the independent checker judges what came of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from time import time

import pytest
from tests.e2e import checker
from tests.e2e.conftest import FallingTown
from tests.e2e.endpoint import Endpoint, listening
from tests.e2e.fleet import SERVICES, eventually
from tests.e2e.flood import Flood
from tests.e2e.ruins import ALL

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("falling")]


class Disaster:
    """Kills, and brings back; `doubted` collects the deliveries in doubt, read from the ledger between kill and restart."""

    def __init__(self, falling: FallingTown) -> None:
        self.falling = falling
        self.doubted: set[str] = set()

    async def service(self, service: str) -> None:
        """Every process of a service dies."""
        await asyncio.to_thread(self._kill, service)
        self._doubt()
        await asyncio.to_thread(self._start, service)

    async def server(self, name: str) -> None:
        """A server dies; the services live through it."""
        began = time()
        await asyncio.to_thread(self.falling.ruins.kill, name)
        if name != "ledger":
            self._doubt()
        await asyncio.sleep(1)
        await asyncio.to_thread(self.falling.ruins.restart, name)
        if name == "ledger":  # what is sent meanwhile nobody can claim: should its deliverer die before the ack, it is sent again
            self.doubted |= checker.sent_between(checker.receipts(self.falling.town.receipts), began - 1, time() + 1)

    async def everything(self) -> None:
        """All processes and all servers die in the same moment."""
        await asyncio.to_thread(self._kill, *SERVICES)
        await asyncio.to_thread(self.falling.ruins.kill, *ALL)
        await asyncio.to_thread(self.falling.ruins.restart, "ledger")
        self._doubt()
        await asyncio.to_thread(self.falling.ruins.restart, *ALL)
        await asyncio.to_thread(self._start, *SERVICES)

    def _kill(self, *services: str) -> None:
        fleet = self.falling.town.fleet
        dying = [process for process in fleet.processes if process.service in services]
        for process in dying:
            process.popen.kill()
        for process in dying:
            process.kill()
            fleet.processes.remove(process)

    def _start(self, *services: str) -> None:
        fleet = self.falling.town.fleet
        started = [fleet.start(each) for each in services for _ in range(1 if each in {"api", "bounce-inbound"} else 2)]
        for process in started:
            fleet.ready(process, 60)

    def _doubt(self) -> None:
        self.doubted |= checker.in_doubt(self.falling.town.fleet.servers["LEDGER_URL"])


async def under_fire(
    falling: FallingTown, flood: Flood, strikes: list[Callable[[Disaster], Awaitable[None]]], within: float
) -> dict[str, int]:
    """Run a flood, strike meanwhile, wait until every fate is known, and let the checker judge."""
    town, disaster = falling.town, Disaster(falling)
    async with listening(town) as endpoint:
        running = asyncio.create_task(flood.run())
        for strike in strikes:
            await asyncio.sleep(1.5)
            await strike(disaster)
        accepted = await running
        deadline = asyncio.get_running_loop().time() + within
        while left := await checker.unsettled(accepted, town.fleet.admin_dsn):
            assert asyncio.get_running_loop().time() < deadline, f"{len(left)} submissions not at an end, as {left[:3]}"
            await asyncio.sleep(0.5)
        own = flood.own(checker.receipts(town.receipts))
        counts = checker.judge(accepted, own, await checker.states(town.fleet.admin_dsn), disaster.doubted)
        await told(endpoint, accepted)
    assert town.fleet.scaisend("parked", "list") == []
    return counts


async def told(endpoint: Endpoint, accepted: checker.Accepted) -> None:
    """Every accepted mail's events reach its sender's endpoint, whoever died; each event has one id however often it comes."""
    wanted = {(recipient, name) for recipient in accepted.recipients for name in ("processed", "delivered")}

    def heard() -> set[tuple[str, str]]:
        return {(event["email"], event["event"]) for post in [*endpoint.posts] for event in post.events()}

    await eventually(lambda: wanted <= heard(), within=90, why="every event is posted")
    ids: dict[tuple[str, str], set[str]] = {}
    for post in endpoint.posts:
        for event in post.events():
            ids.setdefault((event["email"], event["event"]), set()).add(event["sg_event_id"])
    several = Counter({key: len(found) for key, found in ids.items() if key in wanted and len(found) > 1})
    assert not several, several.most_common(3)


@pytest.mark.timeout(300)
async def test_a_flood_survives_the_broker_and_the_ledger(falling: FallingTown) -> None:
    flood = Flood(falling.town, 600, 60)
    counts = await under_fire(falling, flood, [lambda it: it.server("rabbitmq"), lambda it: it.server("ledger")], within=90)
    assert counts["accepted"] == 600
    assert counts["twice"] == 0, "no deliverer died"


@pytest.mark.timeout(300)
async def test_a_flood_survives_everything_at_once(falling: FallingTown) -> None:
    counts = await under_fire(falling, Flood(falling.town, 600, 60), [lambda it: it.everything()], within=90)
    assert counts["accepted"] == 600


@pytest.mark.faults
@pytest.mark.timeout(1800)
async def test_a_flood_of_twenty_thousand_survives_the_death_of_each_in_turn_and_of_everything_at_once(falling: FallingTown) -> None:
    services = [lambda it, each=each: it.service(each) for each in SERVICES]
    all_servers = [lambda it, each=each: it.server(each) for each in ALL]
    strikes = [*services, *all_servers, lambda it: it.everything()] * 2
    counts = await under_fire(falling, Flood(falling.town, 20_000, 120), strikes, within=600)
    assert counts["accepted"] == 20_000
