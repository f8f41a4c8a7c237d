"""The deliverer's outbox, over the real broker."""

from __future__ import annotations

import asyncio

import aio_pika
from tests.deliverer.making import a_job

from scaisend_common.messages import decode_jobs
from scaisend_common.plumbing.amqp import Publisher
from scaisend_common.topology import Topology, parked_queue
from scaisend_deliverer.letter import Letter
from scaisend_deliverer.outbox import Outbox

QUEUE = "deliver.default.0.bulk"


async def test_a_reason_longer_than_a_frame_parks_its_job_and_holds_up_no_other_letter(amqp_url: str) -> None:
    jobs = [a_job(number) for number in range(3)]
    reasons = ["short", "x" * 300_000, "half a pair: \ud800"]
    async with Publisher(amqp_url, name="test") as publisher:
        outbox = Outbox(publisher, Topology())
        await asyncio.wait_for(
            asyncio.gather(*(outbox.add(Letter(parked=(job, QUEUE, why))) for job, why in zip(jobs, reasons, strict=True))), 20
        )
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        queue = await channel.get_queue(parked_queue(QUEUE))
        parked = [await queue.get(timeout=5) for _ in jobs]
        for message in parked:
            await message.ack()
    assert [decode_jobs(message.body).jobs for message in parked] == [(job,) for job in jobs]
    assert [str(message.headers["x-parked-why"]) for message in parked] == ["short", "x" * 2000, "half a pair: ?"]
