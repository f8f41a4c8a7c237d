"""The heart of the deliverer, between a real queue and the outbox."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import cast

import aio_pika
from hypothesis import given
from hypothesis import strategies as st
from tests.deliverer.making import a_job
from tests.deliverer.post import TOPOLOGY, purge
from tests.deliverer.smtp import SOURCE, TIMERS

from scaisend_common.messages import JobBatch, Line, decode_jobs, encode
from scaisend_common.plumbing.amqp import Ack, Consumer, Incoming, Publisher, Retry
from scaisend_common.topology import DELIVER, deliver_key, deliver_queue, parked_queue
from scaisend_deliverer.attempt import Attempts
from scaisend_deliverer.connections import Connections, Egress
from scaisend_deliverer.deliverer import SUSPECT, Deliverer, Held
from scaisend_deliverer.hosts import Hosts
from scaisend_deliverer.ledger import Ledger
from scaisend_deliverer.letter import Letter
from scaisend_deliverer.outbox import Outbox
from scaisend_deliverer.paths import Path, Paths
from scaisend_deliverer.waiting import End, Waiting

PREFETCH = 10


@given(st.integers(1, 100), st.integers(0, 100), st.integers(0, 1000), st.integers(0, 1000))
def test_work_lacks_only_where_the_queue_hands_over_no_more_and_most_has_ended(prefetch: int, messages: int, jobs: int, ended: int) -> None:
    lacks = Held(messages, jobs, ended).lacks_work(prefetch)
    assert not (lacks and (messages < prefetch / 2 or ended < jobs / 2))
    assert lacks or not (messages == prefetch and ended == jobs)


class Refusing:
    """A deliverer to which every job is one that no code was prepared for: it parks them, after an attempt of no time."""

    def __init__(self, outbox: Outbox) -> None:
        self.deliverer = Deliverer(
            cast("Attempts", None), cast("Ledger", None), outbox, works=lambda _: True, prefetch=PREFETCH, now=time.time
        )
        self.paths = Paths(
            limit=10,
            most=100,
            connections=lambda: Connections(Egress(SOURCE, 25, TIMERS, None, 100), Hosts()),
            may_start=lambda _: True,
            work=self._work,
            overflow=self.deliverer.overflow,
            broken=self.deliverer.broken,
            tell=self._tell,
            jitter=lambda: 0.5,
        )
        self.deliverer.use(self.paths)

    async def _work(self, path: Path, waiting: Waiting) -> None:
        self.paths.free(path, waiting)
        await self.deliverer.broken(waiting, ValueError("as all"))

    async def _tell(self, path: Path, lines: tuple[Line, ...]) -> None:
        raise AssertionError(f"{path!r} told of {lines}")


class Taking:
    """Paths that only take jobs in."""

    def __init__(self) -> None:
        self.taken: list[Waiting] = []

    def put(self, waiting: Waiting) -> None:
        self.taken.append(waiting)


async def test_a_message_is_taken_in_at_once_but_one_that_may_kill_the_process_waits_until_no_other_such_is_at_work() -> None:
    deliverer = Deliverer(
        cast("Attempts", None), cast("Ledger", None), cast("Outbox", None), works=lambda _: True, prefetch=PREFETCH, now=time.time
    )
    paths = Taking()
    deliverer.use(cast("Paths", paths))
    numbers = iter(range(10))

    def handle(failures: int) -> asyncio.Task[Ack | Retry]:
        batch = JobBatch((a_job(next(numbers)), a_job(next(numbers))))
        return asyncio.ensure_future(deliverer.handle(Incoming(batch, "q", redelivered=failures > 0, failures=failures)))

    plain = handle(0)
    assert len(paths.taken) == 2  # before any task has run
    first, second = handle(SUSPECT), handle(SUSPECT)
    await asyncio.sleep(0)
    assert len(paths.taken) == 4
    for waiting in paths.taken:
        waiting.finish(End.DONE)
    assert await plain == await first == Ack()
    await asyncio.sleep(0)
    assert len(paths.taken) == 6
    paths.taken[-1].finish(End.PUT_BACK)
    paths.taken[-2].finish(End.DONE)
    assert await second == Retry(timedelta(0))


async def test_a_queue_of_many_small_messages_does_not_wait_for_company_of_what_has_ended(amqp_url: str) -> None:
    await purge(amqp_url)
    jobs = [a_job(number) for number in range(10 * PREFETCH)]
    queue = deliver_queue("default", jobs[0].shard, jobs[0].stream)
    async with (
        Publisher(amqp_url, name="test") as publisher,
        await aio_pika.connect(amqp_url) as connection,
        connection.channel() as channel,
    ):
        outbox = Outbox(publisher, TOPOLOGY, linger=600)
        consumer = Consumer(amqp_url, [queue], decode_jobs, Refusing(outbox).deliverer.handle, name="test", prefetch=PREFETCH)
        await asyncio.gather(
            *(publisher.publish(DELIVER, deliver_key("default", job.shard, job.stream), encode(JobBatch((job,)))) for job in jobs)
        )
        running = asyncio.create_task(consumer.run())
        parked = await channel.get_queue(parked_queue(queue))
        awaited = {job.delivery_id for job in jobs}

        async def take(most_left: float) -> None:
            async with asyncio.timeout(30):
                while len(awaited) > most_left:
                    if (message := await parked.get(fail=False)) is None:
                        await asyncio.sleep(0.01)
                        continue
                    awaited.difference_update(job.delivery_id for job in decode_jobs(message.body).jobs)
                    await message.ack()

        await take(PREFETCH / 2 - 1)
        await outbox.add(Letter(parked=(a_job(len(jobs)), queue, "takes the last ones along")), soon=True)
        await take(0)
        await consumer.stop()
        await running
        assert (await channel.get_queue(queue)).declaration_result.message_count == 0
        await parked.purge()
