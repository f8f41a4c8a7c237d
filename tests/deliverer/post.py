"""Deliverers as processes between a real broker and the small internet: jobs in, events and waiting jobs out."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import aio_pika
import redis.asyncio
from tests.deliverer.database import KEK_TEXT, make_tenants
from tests.e2e.fleet import Fleet, Process

from sandbox import Options, Record, Sandbox
from scaisend_common.mail.events import Event
from scaisend_common.messages import EventBatch, Job, JobBatch, LaterBatch, LaterItem, decode_events, decode_later, encode
from scaisend_common.plumbing.amqp import Ack, Consumer, Incoming, Publisher
from scaisend_common.topology import DELIVER, LATER_QUEUE, Topology, deliver_key, record_queue
from scaisend_deliverer.ledger import EPOCH

TOPOLOGY = Topology()


class Post:
    """Publishes jobs; `events` by delivery and `later` are what came back."""

    def __init__(self, fleet: Fleet, publisher: Publisher, internet: Sandbox) -> None:
        self.fleet = fleet
        self.internet = internet
        self.events: dict[str, list[Event]] = defaultdict(list)
        self.later: list[LaterItem] = []
        self._publisher = publisher

    async def start(self, **settings: str) -> Process:
        """Start a deliverer and wait until it works its shards."""
        process = self.fleet.start("deliverer", **settings)
        await asyncio.to_thread(self.fleet.ready, process)
        return process

    async def send(self, jobs: Iterable[Job], a_message: int = 1) -> None:
        """Publish jobs to their shards."""
        keys: dict[str, list[Job]] = defaultdict(list)
        for job in jobs:
            keys[deliver_key(job.group, job.shard, job.stream)].append(job)
        await asyncio.gather(
            *(
                self._publisher.publish(DELIVER, key, encode(JobBatch(tuple(some))))
                for key, of_key in keys.items()
                for some in _batched(of_key, a_message)
            )
        )

    def kinds(self, job: Job) -> list[str]:
        """What became of a job, in short; the same event twice counts once."""
        return list(dict.fromkeys(type(event).__name__.removesuffix("Event").lower() for event in self.events[job.delivery_id]))

    async def known(self, jobs: Iterable[Job], within: float = 30) -> None:
        """Return when every job has an event or waits."""
        jobs = list(jobs)
        try:
            async with asyncio.timeout(within):
                while missing := [job for job in jobs if not self.events[job.delivery_id] and not self.waits(job)]:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        except TimeoutError:
            logs = "\n".join(process.log.read_text()[-3000:] for process in self.fleet.processes)
            raise AssertionError(f"{len(missing)} of {len(jobs)} without a word, as {missing[0].rcpt}\n{logs}") from None

    async def becomes(self, job: Job, kinds: list[str], within: float = 20) -> None:
        """Return when that is what became of a job."""
        async with asyncio.timeout(within):
            while self.kinds(job) != kinds:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    def waits(self, job: Job) -> LaterItem | None:
        return next((item for item in self.later if item.job.delivery_id == job.delivery_id), None)

    def arrived(self, job: Job) -> int:
        """How many copies of a job's mail the small internet took."""
        return len(self.internet.mailbox.newest(to=str(job.rcpt)))

    async def hear_events(self, incoming: Incoming[EventBatch]) -> Ack:
        for event in incoming.value.events:
            self.events[event.delivery_id].append(event)
        return Ack()

    async def hear_later(self, incoming: Incoming[LaterBatch]) -> Ack:
        self.later += incoming.value.items
        return Ack()


def _batched(jobs: list[Job], most: int) -> list[list[Job]]:
    return [jobs[start : start + most] for start in range(0, len(jobs), most)]


@asynccontextmanager
async def post_office(fleet: Fleet, postgres_dsn: str, public_key: str) -> AsyncIterator[Post]:
    """Everything around the deliverers, for the length of a block."""
    amqp_url = fleet.servers["AMQP_URL"]
    await make_tenants(postgres_dsn)
    async with redis.asyncio.Redis.from_url(fleet.servers["LEDGER_URL"]) as ledger:
        await ledger.set(EPOCH, "1")
    fleet.secrets["SCAISEND_KEK"] = KEK_TEXT
    async with Sandbox(Options(sites=4)) as internet, Publisher(amqp_url, name="test") as publisher:
        internet.names.publish([Record("s1._domainkey.sender.test", "TXT", f"v=DKIM1; k=rsa; p={public_key}")])
        fleet.settings |= {"SCAISEND_DNS": internet.places.dns, "SCAISEND_REMOTE_SMTP_PORT": str(internet.places.smtp_port)}
        post = Post(fleet, publisher, internet)
        events = Consumer(
            amqp_url,
            [record_queue(lane) for lane in range(TOPOLOGY.event_lanes)],
            decode_events,
            post.hear_events,
            name="events",
            prefetch=50,
        )
        later = Consumer(amqp_url, [LATER_QUEUE], decode_later, post.hear_later, name="later", prefetch=50)
        running = [asyncio.create_task(consumer.run()) for consumer in (events, later)]
        try:
            yield post
        finally:
            await asyncio.to_thread(fleet.end)
            for consumer in (events, later):
                await consumer.stop()
            await asyncio.gather(*running)


def a_fleet(servers: dict[str, str], dsn: object, admin_dsn: str, free_port: object, logs: Path) -> Fleet:
    """Deliverers only."""
    return Fleet(servers=servers, dsn=dsn, admin_dsn=admin_dsn, free_port=free_port, logs=logs)  # type: ignore[arg-type]


async def purge(amqp_url: str) -> None:
    """Empty every queue: the vhost is shared by the tests of a worker."""
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        for queue in TOPOLOGY.queues():
            await (await channel.get_queue(queue.name, ensure=False)).purge()


async def one_message(post: Post, queue: str) -> bytes:
    """Take a message from a queue, once there is one."""
    async with await aio_pika.connect(post.fleet.servers["AMQP_URL"]) as connection, connection.channel() as channel:
        for _ in range(100):
            message = await (await channel.get_queue(queue, ensure=False)).get(fail=False)
            if message is not None:
                await message.ack()
                return message.body
            await asyncio.sleep(0.1)
    raise AssertionError(f"nothing in {queue}")
