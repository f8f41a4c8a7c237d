"""What is stopped while it waits, long before it is due: dropped within a minute, wherever it waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
from tests.conftest import Shared
from tests.e2e.bounces import bounce
from tests.e2e.conftest import Town, town

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("stops"), pytest.mark.timeout(300)]
WITHIN = 45.0  # of the 60 s that are promised
AN_HOUR = 3600


@pytest.fixture(scope="module")
def slow(shared: Shared, tmp_path_factory: pytest.TempPathFactory, worker_number: int) -> Iterator[Town]:
    """A town whose first retry is an hour away."""
    settings = {"SCAISEND_RETRY_FIRST": str(AN_HOUR), "SCAISEND_RETRY_CAP": str(5 * AN_HOUR)}
    with town(shared, tmp_path_factory.mktemp("stops"), each=2, settings=settings, redis_index=48 + worker_number) as made:
        yield made


async def test_a_bounce_drops_a_retry_and_a_scheduled_mail_that_wait_for_its_address(slow: Town) -> None:
    to = f"defer-1+{uuid4().hex[:10]}@plain.test"
    retry = slow.send(to)
    await slow.settled(retry, "deferred")
    scheduled = slow.send(to, send_at=int(time.time()) + AN_HOUR)
    bypassing = slow.send(to, send_at=int(time.time()) + AN_HOUR, mail_settings={"bypass_list_management": {"enable": True}})
    for message_id in (scheduled, bypassing):
        await slow.settled(message_id, "processed")
    await slow.settled(slow.send(to), "delivered")
    [mail] = await slow.arrived(to)
    assert await asyncio.to_thread(bounce, slow, mail) == ""
    for message_id, attempts in ((retry, 1), (scheduled, 0)):
        delivery = await slow.settled(message_id, "dropped", within=WITHIN)
        assert "Bounced Address" in str(delivery["events"])
        assert len(delivery["attempts"]) == attempts
    assert slow.timeline(bypassing)["deliveries"][0]["status"] == "processed"
    assert len(slow.inbox(to)) == 1


async def test_suspending_a_tenant_drops_what_waits_of_it_and_nothing_of_others(slow: Town) -> None:
    them = slow.tenant("leaving")
    retry, others = them.send(f"defer-9+{uuid4().hex[:10]}@plain.test"), slow.send(f"defer-9+{uuid4().hex[:10]}@plain.test")
    scheduled = them.send(f"ok+{uuid4().hex[:10]}@plain.test", send_at=int(time.time()) + AN_HOUR)
    await them.settled(retry, "deferred")
    await slow.settled(others, "deferred")
    await them.settled(scheduled, "processed")
    slow.fleet.scaisend("tenant", "suspend", "leaving")
    for message_id in (retry, scheduled):
        delivery = await them.settled(message_id, "dropped", within=WITHIN)
        assert "Account Suspended" in str(delivery["events"])
    assert slow.timeline(others)["deliveries"][0]["status"] == "deferred"
