"""Bad input: refused in the vendor's words, fast, in bounded memory, and never a 500; and no field can write another one's header."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import zlib
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import aio_pika
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.e2e.conftest import Town
from tests.e2e.fleet import Process, call, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("here")]
MOST = 31_457_280  # 30 MiB, after gunzip
SECONDS = 10.0
BAD_REQUEST = b'{"errors":[{"message":"Bad Request","field":null,"help":null}]}'


@dataclass
class Desk:
    """An api of this module's own, so that its memory tells of these requests alone."""

    town: Town
    process: Process
    url: str

    def post(self, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """Send a body; it must be answered within SECONDS, and not by a 500."""
        begun = monotonic()
        status, _, answer = call("POST", f"{self.url}/v3/mail/send", body, self.town.api_key, headers)
        assert monotonic() - begun < SECONDS
        assert status < 500
        return status, answer

    def send(self, **changes: Any) -> tuple[int, bytes]:
        return self.post(json.dumps(self.mail(**changes)).encode())

    def mail(self, **changes: Any) -> dict[str, Any]:
        return {
            "personalizations": [{"to": [{"email": "ok@plain.test"}]}],
            "from": {"email": self.town.sender},
            "subject": "Hello",
            "content": [{"type": "text/plain", "value": "Hello"}],
        } | changes

    def peak(self) -> int:
        """The most memory that the process ever had, in MiB."""
        status = Path(f"/proc/{self.process.popen.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) // 1024


@pytest.fixture(scope="module")
def desk(here: Town) -> Iterator[Desk]:
    port = here.fleet.free_port()
    with here.fleet.beside("api", SCAISEND_API_PORT=str(port)) as process:
        yield Desk(here, process, f"http://127.0.0.1:{port}")
        failed = [line for line in process.lines() if line.get("event") == "request_failed"]
        assert not failed
        assert process.is_running()


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nonsense",
        b'{"a":1}garbage',
        b"\x00",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"personalizations":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"send_at":' + b"9" * 1_000_000 + b"}",
        b'{"send_at":1e999999999}',
        b'{"send_at":NaN}',
    ],
    ids=lambda body: body[:24].decode("latin-1"),
)
async def test_what_is_no_json_is_a_bad_request(desk: Desk, body: bytes) -> None:
    assert desk.post(body) == (400, BAD_REQUEST)


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"text"', b"true", b"{}"])
async def test_json_that_is_no_mail_is_refused(desk: Desk, body: bytes) -> None:
    assert desk.post(body)[0] == 400


async def test_an_empty_body_or_another_type_is_415(desk: Desk) -> None:
    assert desk.post(b"")[0] == 415
    assert desk.post(b"a=b", {"Content-Type": "application/x-www-form-urlencoded"})[0] == 415


@pytest.mark.parametrize(
    "field", ["send_at", "asm", "from", "subject", "content", "personalizations", "headers", "custom_args", "categories"]
)
@pytest.mark.parametrize("value", [10**400, -(10**30), 1.5, True, None, [], {}, [[]], [None], {"a": 1}, "x" * 100_000, "\x00"], ids=repr)
async def test_any_value_in_any_field_is_taken_or_refused_and_never_a_500(desk: Desk, field: str, value: object) -> None:
    status, answer = desk.send(**{field: value})
    assert status in {202, 400, 403}
    if status == 400:
        assert json.loads(answer)["errors"][0].keys() == {"message", "field", "help"}


@pytest.mark.parametrize("where", ["subject", "value", "name", "custom_args", "key"])
async def test_a_lone_surrogate_is_refused(desk: Desk, where: str) -> None:
    text = json.dumps(
        desk.mail(
            subject="@subject@",
            content=[{"type": "text/plain", "value": "@value@"}],
            custom_args={"a": "@custom_args@", "@key@": "b"},
            **{"from": {"email": desk.town.sender, "name": "@name@"}},
        )
    )
    assert desk.post(text.replace(f"@{where}@", r"\ud800").encode())[0] == 400


async def test_bytes_that_are_no_utf8_are_refused(desk: Desk) -> None:
    assert desk.post(json.dumps(desk.mail(subject="@")).encode().replace(b"@", b"\xff\xfe"))[0] == 400


async def test_a_key_that_occurs_twice_is_refused(desk: Desk) -> None:
    body = json.dumps(desk.mail()).encode()
    assert desk.post(body[:-1] + b',"subject":"another"}')[0] == 400


async def test_a_thousand_recipients_are_taken_and_one_more_is_not(desk: Desk) -> None:
    def people(count: int) -> list[dict[str, str]]:
        return [{"email": f"ok+{n}@nullmx.test"} for n in range(count)]

    assert desk.send(personalizations=[{"to": people(1000)}])[0] == 202
    assert desk.send(personalizations=[{"to": people(1001)}])[0] == 400
    assert desk.send(personalizations=[{"to": people(500), "cc": [{"email": f"c{n}@nullmx.test"} for n in range(501)]}])[0] == 400
    assert desk.send(personalizations=[{"to": [person]} for person in people(1001)])[0] == 400


async def test_base64_that_is_none_is_refused(desk: Desk) -> None:
    for content in ("not base64!", "YQ", "Y Q==", "YQ==\n", "=" * 1000, ""):
        assert desk.send(attachments=[{"content": content, "filename": "a"}])[0] == 400


def sized(desk: Desk, size: int) -> bytes:
    """A good mail of exactly so many bytes."""
    to = {"personalizations": [{"to": [{"email": "ok@nullmx.test"}]}]}
    empty = json.dumps(desk.mail(**to, attachments=[{"content": "%", "filename": "a"}])).encode()
    body = empty.replace(b"%", b"A" * ((size - len(empty)) // 4 * 4))
    return body[:-1] + b" " * (size - len(body)) + b"}"


async def test_thirty_mebibytes_are_taken_and_one_byte_more_is_413(desk: Desk) -> None:
    assert desk.post(sized(desk, MOST))[0] == 202
    assert desk.post(sized(desk, MOST + 1))[0] == 413
    assert desk.post(sized(desk, 31 * 1000 * 1000))[0] == 202
    assert desk.post(sized(desk, 31 * 1024 * 1024))[0] == 413


async def test_a_length_that_is_not_told_is_bounded_too(desk: Desk) -> None:
    """Chunked: a size is known only when too much has come."""
    status = await asyncio.to_thread(_chunked, desk, 40)
    assert status in {413, 0}  # 0: the connection was closed while we were still writing


def _chunked(desk: Desk, mebibytes: int) -> int:
    host, _, port = desk.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as peer:
        peer.sendall(
            f"POST /v3/mail/send HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {desk.town.api_key}\r\n"
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        try:
            for _ in range(mebibytes):
                peer.sendall(b"100000\r\n" + b" " * 0x100000 + b"\r\n")
            peer.sendall(b"0\r\n\r\n")
            return int(peer.recv(1000).split()[1])
        except (ConnectionError, IndexError):
            return 0


async def test_gzip_is_read_and_what_it_stands_for_is_counted(desk: Desk) -> None:
    packed = {"Content-Encoding": "gzip"}
    good = json.dumps(desk.mail()).encode()
    assert desk.post(gzip.compress(good), packed)[0] == 202
    assert desk.post(gzip.compress(sized(desk, MOST)), packed)[0] == 202
    assert desk.post(gzip.compress(sized(desk, MOST + 1)), packed)[0] == 413
    for broken in (good, gzip.compress(good)[:-4], zlib.compress(good), gzip.compress(good) + b"junk"):
        assert desk.post(broken, packed)[0] == 400
    assert desk.post(good, {"Content-Encoding": "br"})[0] == 400


async def test_a_gzip_bomb_is_413_and_takes_no_memory(desk: Desk) -> None:
    before = desk.peak()
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(compressor.compress(b" " * 2**20) for _ in range(500)) + compressor.flush()
    assert len(bomb) < 600_000
    assert desk.post(bomb, {"Content-Encoding": "gzip"})[0] == 413
    assert desk.post(gzip.compress(bomb), {"Content-Encoding": "gzip"})[0] == 400
    assert desk.peak() <= max(before, 400)


async def test_many_large_requests_at_once_stay_within_bounds(desk: Desk) -> None:
    """Twelve of 30 MiB at once: four are in work at a time, the rest waits in the kernel."""
    body = sized(desk, MOST)
    posts = (asyncio.to_thread(call, "POST", f"{desk.url}/v3/mail/send", body, desk.town.api_key) for _ in range(12))
    answers = await asyncio.gather(*posts)
    assert {status for status, _, _ in answers} <= {202, 503}
    assert desk.peak() < 700


async def test_headers_without_end_are_cut_off(desk: Desk) -> None:
    host, _, port = desk.url.removeprefix("http://").partition(":")

    def pour() -> bytes:
        heard = b""
        with socket.create_connection((host, int(port)), timeout=10) as peer:
            peer.sendall(b"POST /v3/mail/send HTTP/1.1\r\nHost: a\r\n")
            try:
                for n in range(10_000):
                    peer.sendall(f"X-{n}: {'a' * 1000}\r\n".encode())
                peer.sendall(b"\r\n")
                heard = peer.recv(1000)
            except ConnectionError:
                pass
        return heard

    heard = await asyncio.to_thread(pour)
    assert heard == b"" or heard.split()[1] in {b"400", b"431"}
    assert desk.send()[0] == 202


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["email", "name", "type", "value", "to", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.dictionaries(
        st.sampled_from(
            "personalizations from reply_to reply_to_list subject content attachments headers categories custom_args send_at template_id "
            "sections asm batch_id ip_pool_name mail_settings tracking_settings".split()
        ),
        JSON,
        min_size=1,
        max_size=3,
    )
)
def test_no_json_at_all_is_a_500(desk: Desk, changes: dict[str, Any]) -> None:
    status, _ = desk.send(**changes)
    assert status in {202, 400, 403, 200}


EVIL = "evil@plain.test"
INJECTIONS = [
    f"x\r\nBcc: {EVIL}",
    f"x\nX-Evil: {EVIL}",
    f"x\rX-Evil: {EVIL}",
    f"x\r\n\r\nX-Evil: {EVIL}",
    f"=?utf-8?q?x=0D=0AX-Evil:_{EVIL}?=",
    f"=?utf-8?b?{b64encode(f'x{chr(13)}{chr(10)}X-Evil: {EVIL}'.encode()).decode()}?=",
    f"x%0d%0aX-Evil: {EVIL}",
    f"x\u2028X-Evil: {EVIL}",
    f"x\u0085X-Evil: {EVIL}",
    f"x\x00X-Evil: {EVIL}",
    f"x\x0bX-Evil: {EVIL}",
    f'x"\r\n X-Evil: {EVIL}',
]


def injected(desk: Desk, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A mail for every field that ends in a header, with the text in that field; each with a recipient of its own."""
    fields: dict[str, dict[str, Any]] = {
        "subject": {"subject": text},
        "from.name": {"from": {"email": desk.town.sender, "name": text}},
        "reply_to.name": {"reply_to": {"email": "a@b.test", "name": text}},
        "headers.value": {"headers": {"X-Mine": text}},
        "headers.key": {"headers": {text: "x"}},
        "categories": {"categories": [text]},
        "custom_args": {"custom_args": {"a": text}},
        "filename": {"attachments": [{"content": "YQ==", "filename": text}]},
        "type": {"attachments": [{"content": "YQ==", "filename": "a", "type": text}]},
        "content_id": {"attachments": [{"content": "YQ==", "filename": "a", "content_id": text, "disposition": "inline"}]},
        "content.type": {"content": [{"type": "text/plain", "value": "x"}, {"type": f"text/html; {text}", "value": "x"}]},
        "value": {"content": [{"type": "text/plain", "value": text}]},
    }
    for field, changes in fields.items():
        yield field, desk.mail(**changes)
    for field in ("email", "name", "subject", "headers", "substitutions"):
        mail = desk.mail(subject="-sub-")
        person = mail["personalizations"][0]
        match field:
            case "email":
                person["cc"] = [{"email": text}]
            case "name":
                person["cc"] = [{"email": "ok@nullmx.test", "name": text}]
            case "subject":
                person["subject"] = text
            case "headers":
                person["headers"] = {"X-Mine": text}
            case _:
                person["substitutions"] = {"-sub-": text}
        yield f"personalizations.{field}", mail


KNOWN = {
    *("received", "dkim-signature", "date", "from", "to", "cc", "reply-to", "subject", "message-id", "mime-version", "content-type"),
    *("content-transfer-encoding", "x-mine", "feedback-id", "return-path"),
}


async def test_no_field_can_write_a_header_or_add_a_recipient(here: Town, desk: Desk) -> None:
    taken: dict[str, str] = {}
    for injection in INJECTIONS:
        for field, mail in injected(desk, injection):
            to = f"ok+{uuid4().hex[:10]}@plain.test"
            mail["personalizations"][0]["to"] = [{"email": to}]
            status, _ = desk.post(json.dumps(mail).encode())
            assert status in {202, 400}
            if status == 202:
                taken[to] = f"{field}: {injection!r}"
    assert taken
    for to, what in taken.items():
        (found,) = await here.arrived(to, within=40)
        parsed = message_from_bytes(here.raw(found), policy=policy.compat32)
        names = {name.lower() for name in parsed.keys() if name not in INJECTIONS}  # noqa: SIM118 - `in` a Message asks for a header
        assert names <= KNOWN, what  # an encoded word is a name that may stand there, as it is
        assert parsed.defects == [], what
        assert found["dkim"] == "pass", what
        assert b"\nx-evil" not in here.raw(found).lower().partition(b"\r\n\r\n")[0], what
    assert not here.inbox(EVIL)


@pytest.mark.parametrize(
    "local", ["a b", "a\r\nRCPT TO:<evil@plain.test>", "a>", "a\x00", "a\n", '"a\r\n"', "<a", ".a", "a..b", "ok@plain.test,evil"]
)
async def test_no_address_can_write_a_command(desk: Desk, local: str) -> None:
    status, answer = desk.send(personalizations=[{"to": [{"email": f"{local}@plain.test"}]}])
    assert status == 400
    assert b"valid address" in answer


GARBAGE = [b"", b"\x01", b"\x01nonsense", b"\x01\x93\x01\x02", b"\x01" + b"\x81\xa1a" * 100_000]
QUEUES = ["submit.transactional.0", "deliver.default.0.transactional", "later", "record.0", "webhook.0"]


async def test_what_nobody_can_decode_is_parked_with_its_reason_and_the_queues_go_on(here: Town) -> None:
    async with await aio_pika.connect(here.fleet.servers["AMQP_URL"]) as connection:
        channel = await connection.channel()
        for queue in QUEUES:
            for body in GARBAGE:
                await channel.default_exchange.publish(aio_pika.Message(body), queue)
        people = [f"ok+{uuid4().hex[:10]}@d{n}.s{n % 3}.sites.test" for n in range(24)]  # so many that every shard has some
        for to in people:
            here.send(to)
        for to in people:
            await here.arrived(to)

        def parked() -> bool:
            counts = {each["queue"]: each["parked"] for each in here.fleet.scaisend("parked", "list")}
            return [counts.get(queue) for queue in QUEUES] == [len(GARBAGE)] * len(QUEUES)

        await eventually(parked, within=20, why="everything is parked")
        told = here.fleet.scaisend("parked", "list", QUEUES[0])
        assert len(told) == len(GARBAGE)
        assert all(each["why"] for each in told)
        for queue in QUEUES:
            await (await channel.get_queue(f"{queue}.parked")).purge()


async def test_in_the_end_the_api_has_kept_its_head(desk: Desk) -> None:
    to = f"ok+{uuid4().hex[:10]}@plain.test"
    assert desk.send(personalizations=[{"to": [{"email": to}]}])[0] == 202
    await desk.town.arrived(to)
    assert desk.peak() < 700
