"""The server over real SMTP, its reports going to a real broker, its questions to a real database."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from os import urandom

import asyncpg
import pytest
from tests.bounce_inbound.test_report import dsn

from scaisend_bounce_inbound.intake import Intake
from scaisend_bounce_inbound.server import MAX_MESSAGE, MAX_RECIPIENTS, Door, Inbound
from scaisend_common.mail.events import BounceEvent, Event, Origin
from scaisend_common.mail.ids import DeliveryId, delivery_id, submission_id
from scaisend_common.mail.verp import Expired, Forged, ReturnPath, read_return_path, return_path_local
from scaisend_common.messages import EventBatch, decode_events
from scaisend_common.plumbing.amqp import Ack, Consumer, Incoming, Publisher, Settlement
from scaisend_common.plumbing.postgres import open_pool
from scaisend_common.topology import Topology, record_queue

KEYS = {"k1": bytes(32)}
REPORT = dsn("Final-Recipient: rfc822; a@b.test\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 gone")


class Held(Exception):
    """Stands for an outage of what the intake needs."""


@dataclass
class Office:
    port: int
    admin: asyncpg.Connection
    tenant_id: str
    number: int
    events: asyncio.Queue[Event] = field(default_factory=asyncio.Queue)
    is_out: bool = False

    async def delivery(self) -> DeliveryId:
        """A delivery that the timeline knows."""
        delivery = delivery_id(submission_id(int(time.time() * 1000), urandom(10)), 0, 0)
        await self.admin.execute(
            "INSERT INTO messages (tenant_id, day, delivery_id, to_email, from_email, subject, state, rank, origin, message_id, accepted_at,"
            " last_event_at) VALUES ($1, current_date, $2, 'a@b.test', 's@sender.test', 'Hi', 'delivered', 5, $3, '<m@x>', now(), now())",
            self.tenant_id, delivery, json.dumps({"custom_args": {"order": "42"}}),
        )  # fmt: skip
        return delivery

    def address(self, delivery: DeliveryId) -> str:
        return return_path_local(KEYS, self.number, delivery) + "@bounces.sender.test"

    async def talk(self, *commands: bytes) -> list[bytes]:
        """Say each command after the reply to the one before; return the replies, the greeting first."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        replies = [await _reply(reader)]
        for command in commands:
            writer.write(command)
            replies.append(await _reply(reader))
        writer.close()
        return replies

    async def send(self, to: str, mail: bytes) -> list[bytes]:
        return (await self.talk(b"EHLO x\r\n", b"MAIL FROM:<>\r\n", f"RCPT TO:<{to}>\r\n".encode(), b"DATA\r\n", mail + b"\r\n.\r\n"))[3:]


async def _reply(reader: asyncio.StreamReader) -> bytes:
    lines = b""
    while True:
        line = await asyncio.wait_for(reader.readline(), 10)
        lines += line
        if not line or line[3:4] != b"-":
            return lines


@pytest.fixture
async def office(
    amqp_url: str, postgres_dsn: str, service_dsn: Callable[[str], str], free_port: Callable[[], int]
) -> AsyncIterator[Office]:
    admin = await asyncpg.connect(postgres_dsn)
    row = await admin.fetchrow(
        "WITH p AS (INSERT INTO partners (slug, name) VALUES ('p', 'p') RETURNING id) INSERT INTO tenants (partner_id, slug, name) SELECT id, 't', 't' FROM p RETURNING id, number"
    )
    assert row
    made = Office(free_port(), admin, str(row["id"]), row["number"])
    topology = Topology()

    def read(local: str) -> ReturnPath | Forged | Expired:
        return read_return_path(local, KEYS, datetime.now(UTC))

    async def heard(incoming: Incoming[EventBatch]) -> Settlement:
        for event in incoming.value.events:
            made.events.put_nowait(event)
        return Ack()

    async with open_pool(service_dsn("bounce_inbound"), name="test") as pool, Publisher(amqp_url, name="test") as publisher:
        intake = Intake(pool, publisher, topology, read_local_part=read)

        async def take(mail: bytes, paths: tuple[ReturnPath, ...], peer: str) -> None:
            if made.is_out:
                raise Held
            await intake.take(mail, paths, peer)

        door = Door(
            Inbound(read_local_part=read, take=take, outages=(Held,)),
            host="127.0.0.1",
            port=made.port,
            name="mx.test",
            most=20,
            most_per_ip=20,
        )
        lanes = [record_queue(lane) for lane in range(topology.event_lanes)]
        consumer = Consumer(amqp_url, lanes, decode_events, heard, name="test", prefetch=10)
        running = [asyncio.create_task(door.run()), asyncio.create_task(consumer.run())]
        while not (door.is_open and consumer.is_ready and publisher.is_ready):  # noqa: ASYNC110 - three states, no common event
            await asyncio.sleep(0.02)
        yield made
        await door.stop()
        await consumer.stop()
        await asyncio.gather(*running)
    await admin.close()


async def test_a_report_at_a_return_path_of_ours_becomes_a_bounce_of_that_delivery(office: Office) -> None:
    delivery = await office.delivery()
    assert (await office.send(office.address(delivery), REPORT))[-1].startswith(b"250")
    event = await asyncio.wait_for(office.events.get(), 10)
    assert isinstance(event, BounceEvent)
    assert (event.delivery_id, event.status, event.email, event.tenant_id) == (delivery, "5.1.1", "a@b.test", office.tenant_id)
    assert event.origin == Origin("s@sender.test", "Hi", custom_args={"order": "42"})


async def test_a_return_path_that_a_remote_server_shouted_still_counts(office: Office) -> None:
    assert (await office.send(office.address(await office.delivery()).upper(), REPORT))[-1].startswith(b"250")


@pytest.mark.parametrize(
    "to", ["nobody@x.test", "b.aaaa@x.test", "a%b@x.test", '"a@b"@x.test', "@relay.test:a@b.test", "b." + "a" * 61 + "@x.test"]
)
async def test_what_is_no_address_of_ours_is_refused_at_rcpt(office: Office, to: str) -> None:
    replies = await office.talk(b"EHLO x\r\n", b"MAIL FROM:<>\r\n", f"RCPT TO:<{to}>\r\n".encode())
    assert replies[-1][:1] == b"5"


async def test_a_changed_return_path_is_refused(office: Office) -> None:
    address = office.address(await office.delivery())
    forged = address[:20] + ("a" if address[20] != "a" else "c") + address[21:]
    assert (await office.talk(b"EHLO x\r\n", b"MAIL FROM:<>\r\n", f"RCPT TO:<{forged}>\r\n".encode()))[-1].startswith(b"550 5.1.1")


async def test_an_old_return_path_is_refused(office: Office) -> None:
    old = delivery_id(submission_id(int((time.time() - 40 * 86400) * 1000), urandom(10)), 0, 0)
    assert (await office.talk(b"EHLO x\r\n", b"MAIL FROM:<>\r\n", f"RCPT TO:<{office.address(old)}>\r\n".encode()))[-1].startswith(
        b"550 5.1.1"
    )


@pytest.mark.parametrize("to", ["postmaster", "Postmaster", "POSTMASTER@x.test", "abuse@sender.test"])
async def test_postmaster_and_abuse_are_accepted(office: Office, to: str) -> None:
    assert (await office.talk(b"EHLO x\r\n", b"MAIL FROM:<a@b.test>\r\n", f"RCPT TO:<{to}>\r\n".encode()))[-1].startswith(b"250")


async def test_a_mail_to_postmaster_is_kept_for_the_operator(office: Office) -> None:
    assert (await office.send("postmaster@x.test", b"Subject: your server\r\n\r\nPlease look."))[-1].startswith(b"250")
    kept = await office.admin.fetchval("SELECT raw FROM role_mail")
    assert b"Please look." in kept
    assert office.events.empty()


async def test_a_mail_that_cannot_be_taken_now_stays_with_its_server(office: Office) -> None:
    office.is_out = True
    assert (await office.send(office.address(await office.delivery()), REPORT))[-1].startswith(b"451")
    assert office.events.empty()


async def test_a_bounce_faster_than_the_timeline_is_kept_by_its_server(office: Office) -> None:
    young = delivery_id(submission_id(int(time.time() * 1000), urandom(10)), 0, 0)
    replies = await office.send(office.address(young), REPORT)
    assert replies[-1][:3] in {b"451", b"500"}
    assert office.events.empty()


async def test_a_hundred_recipients_are_taken_and_more_are_put_off(office: Office) -> None:
    replies = await office.talk(
        b"EHLO x\r\n", b"MAIL FROM:<>\r\n", *(b"RCPT TO:<postmaster@x.test>\r\n" for _ in range(MAX_RECIPIENTS + 1))
    )
    assert [reply[:3] for reply in replies[3:]] == [b"250"] * MAX_RECIPIENTS + [b"452"]


async def test_of_a_large_mail_only_the_beginning_is_kept_and_its_report_is_read(office: Office) -> None:
    delivery = await office.delivery()
    quoted = REPORT + b"\r\n" + b"..a line of the mail that came back\r\n" * 200_000
    assert (await office.send(office.address(delivery), quoted))[-1].startswith(b"250")
    assert (await asyncio.wait_for(office.events.get(), 10)).delivery_id == delivery


async def test_a_mail_that_is_too_large_is_refused_and_the_session_goes_on(office: Office) -> None:
    mail = b"Subject: large\r\n\r\n" + b"x" * 998 + b"\r\n" + (b"x" * 998 + b"\r\n") * (MAX_MESSAGE // 1000 + 1)
    rcpt = b"RCPT TO:<postmaster@x.test>\r\n"
    replies = await office.talk(b"EHLO x\r\n", b"MAIL FROM:<>\r\n", rcpt, b"DATA\r\n", mail + b"\r\n.\r\n", b"NOOP\r\n")
    assert [reply[:3] for reply in replies[-2:]] == [b"552", b"250"]


async def test_a_mail_in_a_loop_is_refused(office: Office) -> None:
    assert (await office.send(office.address(await office.delivery()), b"Received: x\r\n" * 120 + REPORT))[-1].startswith(b"554 5.4.6")


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r\n\0.\r\n"])
async def test_only_crlf_dot_crlf_ends_a_mail(office: Office, end: bytes) -> None:
    """The second envelope behind a wrong end is text of the first mail (SMTP smuggling), and the session stays in step."""
    address = office.address(await office.delivery()).encode()
    smuggled = b"x: y\r\n\r\nbody" + end + b"MAIL FROM:<>\r\nRCPT TO:<" + address + b">\r\nDATA\r\n" + REPORT
    replies = await office.talk(
        b"EHLO x\r\n", b"MAIL FROM:<>\r\n", b"RCPT TO:<postmaster@x.test>\r\n", b"DATA\r\n", smuggled + b"\r\n.\r\n", b"NOOP\r\n"
    )
    assert replies[-1].startswith(b"250")
    await asyncio.sleep(0.1)
    assert office.events.empty()


async def test_ehlo_announces_what_reports_need(office: Office) -> None:
    said = (await office.talk(b"EHLO x\r\n"))[-1]
    assert all(word in said for word in (b"SIZE ", b"8BITMIME", b"SMTPUTF8", b"ENHANCEDSTATUSCODES", b"PIPELINING"))


async def test_too_many_connections_of_one_address_are_told_so(office: Office) -> None:
    connections = [await asyncio.open_connection("127.0.0.1", office.port) for _ in range(21)]
    greetings = [await _reply(reader) for reader, _ in connections]
    assert greetings[-1].startswith(b"421")
    assert all(greeting.startswith(b"220") for greeting in greetings[:20])
    for _, writer in connections:
        writer.close()
