"""POST /v3/mail/send over HTTP: who may, what comes back byte for byte, what reaches the broker."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import zlib
from base64 import b64encode
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
import sendgrid
from sendgrid.helpers.mail import Mail
from tests.api.conftest import Take
from tests.api.requests import to, valid
from tests.api.world import World, eventually, today

from scaisend_common.messages import (
    Attachment,
    ContentRef,
    Flush,
    Personalizations,
    PersonalizationsRef,
    Stream,
    SubmissionBatch,
    decode_content,
    decode_personalizations,
    encode,
)
from scaisend_common.plumbing.amqp import Publisher
from scaisend_common.topology import CONTROL

pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:python_http_client")

CAPTURED = {
    "date": None,
    "content-length": None,
    "connection": "keep-alive",
    "access-control-allow-origin": "https://sendgrid.api-docs.io",
    "access-control-allow-methods": "POST",
    "access-control-allow-headers": "Authorization, Content-Type, On-behalf-of, x-sg-elas-acl",
    "access-control-max-age": "600",
    "x-no-cors-reason": "https://sendgrid.com/docs/Classroom/Basics/API/cors.html",
    "strict-transport-security": None,
    "content-security-policy": "frame-ancestors 'none'",
    "cache-control": "no-cache",
    "x-content-type-options": "no-sniff",
    "referrer-policy": "strict-origin-when-cross-origin",
}


async def test_accepted_mail_is_a_submission_at_the_broker_under_the_id_that_was_told(api: World, key: str, take: Take) -> None:
    answer = api.send(key, valid())
    assert (answer.status, answer.body, answer.headers["content-length"]) == (202, b"", "0")
    (submission,) = await take()
    assert submission.submission_id == answer.headers["x-message-id"]
    assert str(submission.sender.address) == "shop@sender.test"
    assert submission.stream is Stream.TRANSACTIONAL
    assert isinstance(submission.personalizations, Personalizations)
    assert submission.subject == "Hello"


async def test_answers_have_the_headers_that_were_captured(api: World, key: str) -> None:
    accepted, refused = api.send(key, valid()), api.send(key, valid(content=...))
    for name, value in CAPTURED.items():
        assert value in (None, accepted.headers[name], refused.headers[name]), name
        assert name in accepted.headers
        assert accepted.headers[name] == refused.headers[name] or value is None
    assert "server" not in accepted.headers
    assert "content-type" not in accepted.headers
    assert refused.headers["content-type"] == "application/json"
    assert "x-message-id" not in refused.headers


async def test_the_official_package_sends(api: World, key: str, take: Take) -> None:
    client = sendgrid.SendGridAPIClient(key, host=f"http://127.0.0.1:{api.port}")
    answer = client.send(Mail("shop@sender.test", "ann@example.com", "Subject", "text", "<p>html</p>"))
    assert (answer.status_code, answer.body) == (202, b"")
    assert answer.headers["X-Message-Id"] == (await take())[0].submission_id


async def test_captured_bodies_have_their_captured_lengths(api: World, key: str) -> None:
    tenant = await api.tenant("stopped", domains=())
    suspended = await api.key(tenant)
    await api.sql("UPDATE tenants SET state = 'suspended' WHERE id = $1", tenant)
    bad_base64 = valid(attachments=[{"content": "aGk\n=", "filename": "x"}])
    answers = [
        (401, 116, api.send("SG.nonsense", valid())),
        (415, 92, api.send(key, valid(), Content_Type="text/plain")),
        (403, 281, api.send(key, valid(**{"from": {"email": "shop@elsewhere.test"}}))),
        (400, 288, api.send(key, valid(personalizations=[{}]))),
        (400, 219, api.send(key, valid(content=[{"type": "text/plain", "value": ""}]))),
        (400, 209, api.send(key, bad_base64)),
        (401, 76, api.send(suspended, valid())),
    ]
    for status, length, answer in answers:
        assert (answer.status, len(answer.body), answer.headers["content-length"]) == (status, length, str(length))


async def test_who_calls_is_asked_before_what_they_want(api: World, key: str) -> None:
    narrow = await api.key(await api.tenant("narrow", domains=()), "stats.read")
    bad_secret = key[:-2] + ("AA" if not key.endswith("AA") else "BB")
    unknown = "SG." + "x" * 22 + "." + "y" * 43
    assert [api.send(each, b"{").status for each in (bad_secret, unknown, "")] == [401, 401, 401]
    assert api.send(bad_secret, b"{").body == api.send(unknown, b"{").body
    assert api.call("POST", "/v3/mail/send", b"{}", Content_Type="application/json").status == 401
    basic = api.send(key, valid(), Authorization="Basic " + b64encode(b"apikey:x").decode())
    assert (basic.status, basic.json()["errors"][0]["message"]) == (401, "Permission denied, wrong credentials")
    forbidden = api.send(narrow, b"{")
    assert (forbidden.status, forbidden.body) == (403, b'{"errors":[{"message":"access forbidden","field":null,"help":null}]}')
    assert api.send(key, valid(), Authorization=f"bearer {key}").status == 202
    other = api.call("GET", "/v3/mail/send")
    assert (other.status, other.body) == (405, b'{"errors":[{"message":"POST method allowed only","field":null,"help":null}]}')


async def test_a_key_made_under_an_older_pepper_still_counts(api: World) -> None:
    old = await api.key(await api.shop(), peppered_by="old")
    assert api.send(old, valid()).status == 202


async def test_a_content_type_may_have_parameters_and_an_empty_body_is_415(api: World, key: str) -> None:
    assert api.send(key, valid(), Content_Type="application/json; charset=utf-8").status == 202
    assert api.send(key, b"").status == 415


async def test_all_errors_of_a_request_come_in_one_answer_with_their_keys_in_order(api: World, key: str) -> None:
    answer = api.send(key, {"personalizations": [to("nonsense")], "from": {"email": "x"}})
    errors = json.loads(answer.body, object_pairs_hook=list)[0][1]
    assert [[name for name, _ in error] for error in errors] == [["message", "field", "help"]] * 4
    assert b", " not in answer.body.split(b'"help"')[0].split(b'"message"')[0]


async def test_every_sender_of_a_request_must_be_verified(api: World, key: str) -> None:
    request = valid(personalizations=[to("a@b.co"), to("a@b.co", **{"from": {"email": "x@elsewhere.test"}})])
    assert api.send(key, request).status == 403


async def test_sandbox_mode_checks_and_sends_nothing(api: World, key: str, take: Take) -> None:
    answer = api.send(key, valid(mail_settings={"sandbox_mode": {"enable": True}}))
    assert (answer.status, answer.body) == (200, b"")
    assert "x-message-id" not in answer.headers
    assert api.send(key, valid(mail_settings={"sandbox_mode": {"enable": True}}, content=...)).status == 400
    assert await take() == []


async def test_an_unknown_template_is_accepted_and_carried(api: World, key: str, take: Take) -> None:
    assert api.send(key, valid(template_id="d-" + "1" * 32, content=...)).status == 202
    assert (await take())[0].template_id == "d-" + "1" * 32


async def test_many_recipients_and_keys_set_so_go_into_the_bulk_stream(api: World, key: str, take: Take) -> None:
    tenant = await api.tenant("bulk", domains=("bulk.test",))
    bulk, transactional = await api.key(tenant, stream="bulk"), await api.key(tenant, stream="transactional")
    many = [to(f"a{n}@example.com") for n in range(51)]
    sender = {"from": {"email": "a@bulk.test"}}
    for each, request in (
        (key, valid(personalizations=many)),
        (bulk, valid(**sender)),
        (transactional, valid(personalizations=many, **sender)),
    ):
        assert api.send(each, request).status == 202
        (submission,) = await take()
        assert submission.stream is (Stream.TRANSACTIONAL if each == transactional else Stream.BULK)


@pytest.mark.parametrize(("recipients", "size"), [(9, 10), (1, 200_000)])
async def test_what_takes_long_to_route_or_lies_elsewhere_shares_no_message(
    api: World, key: str, take_batches: Callable[[], Awaitable[list[SubmissionBatch]]], recipients: int, size: int
) -> None:
    many = [to(f"u{n}@example.com") for n in range(recipients)]
    request = valid(personalizations=many, content=[{"type": "text/plain", "value": "x" * size}])
    with ThreadPoolExecutor(40) as clients:
        assert {reply.status for reply in clients.map(lambda _: api.send(key, request), range(80))} == {202}
    assert [len(batch.submissions) for batch in await take_batches()] == [1] * 80


async def test_a_thousand_personalizations_share_one_stored_content(api: World, key: str, take: Take) -> None:
    content = [{"type": "text/plain", "value": "x" * 4000}]
    request = valid(personalizations=[to(f"a{n}@example.com", substitutions={"-n-": str(n)}) for n in range(1000)], content=content)
    assert api.send(key, request).status == 202
    (submission,) = await take()
    assert isinstance(submission.content, ContentRef)
    (blob,) = await api.sql("SELECT * FROM blobs WHERE submission_id = $1", submission.submission_id)
    assert (blob["n"], blob["day"], len(blob["content"])) == (submission.content.key.n, today(), submission.content.size)
    assert decode_content(blob["content"]).parts[0].text == "x" * 4000


async def test_large_attachments_are_stored_bit_for_bit(api: World, key: str, take: Take) -> None:
    content = Random(1).randbytes(22_000_000)
    attachment = {"content": b64encode(content).decode(), "filename": "a.bin", "type": "application/x-test"}
    assert api.send(key, valid(attachments=[attachment])).status == 202
    (submission,) = await take()
    assert isinstance(submission.content, ContentRef)
    (blob,) = await api.sql("SELECT content FROM blobs WHERE submission_id = $1", submission.submission_id)
    assert decode_content(blob["content"]).attachments == (Attachment(content, "a.bin", "application/x-test"),)


async def test_large_personalizations_are_stored_too(api: World, key: str, take: Take) -> None:
    people = [to(f"a{n}@example.com", substitutions={"-n-": "x" * 400}) for n in range(1000)]
    assert api.send(key, valid(personalizations=people)).status == 202
    (submission,) = await take()
    assert isinstance(submission.personalizations, PersonalizationsRef)
    assert submission.personalizations.count == 1000
    (blob,) = await api.sql("SELECT content FROM blobs WHERE submission_id = $1", submission.submission_id)
    assert len(decode_personalizations(blob["content"]).items) == 1000


async def test_gzipped_bodies_are_read_and_bombs_refused(api: World, key: str) -> None:
    raw = json.dumps(valid()).encode()
    assert api.send(key, gzip.compress(raw), Content_Encoding="gzip").status == 202
    assert api.send(key, gzip.compress(raw[:50]) + gzip.compress(raw[50:]), Content_Encoding="GZIP").status == 202
    assert api.send(key, gzip.compress(raw)[:-3], Content_Encoding="gzip").status == 400
    assert api.send(key, raw, Content_Encoding="gzip").status == 400
    assert api.send(key, zlib.compress(raw), Content_Encoding="deflate").status == 400


async def test_a_gzip_bomb_is_refused_in_bounded_memory(own_api: World) -> None:
    own_api.start()
    key = await own_api.key(await own_api.shop())
    before = own_api.peak_mb()
    answer = own_api.send(key, gzip.compress(b" " * 64_000_000, 9), Content_Encoding="gzip")
    assert (answer.status, answer.json()["errors"][0]["message"]) == (413, "content too large")
    assert own_api.peak_mb() - before < 60


async def test_an_attachment_of_22_000_000_bytes_takes_a_hundred_megabytes_of_memory_at_most(own_api: World) -> None:
    own_api.start()
    key = await own_api.key(await own_api.shop())
    assert own_api.send(key, valid()).status == 202
    before = own_api.peak_mb()
    attachment = {"content": b64encode(bytes(22_000_000)).decode(), "filename": "a.bin"}
    assert own_api.send(key, valid(attachments=[attachment])).status == 202
    assert own_api.peak_mb() - before < 100


async def test_thirty_mebibytes_are_the_limit_whether_their_length_was_told_or_not(api: World, key: str) -> None:
    most = 31_457_280
    start, end = json.dumps(valid())[:-1].encode() + b', "x": "', b'"}'
    fitting = start + b"x" * (most - len(start) - len(end)) + end
    assert api.send(key, fitting).status == 202
    assert api.send(key, fitting + b" ").status == 413
    assert api.send(key, fitting + b" ", Connection="close").status == 413  # not a reset, though the client is still writing
    assert api.send("SG.nonsense", fitting, Connection="close").status == 401
    assert _chunked(api, key, fitting) == 202
    assert _chunked(api, key, fitting + b" ") == 413
    assert api.send(key, gzip.compress(fitting, 1), Content_Encoding="gzip").status == 202
    assert api.send(key, gzip.compress(fitting + b" ", 1), Content_Encoding="gzip").status == 413


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 100_000,
        json.dumps(valid()).encode()[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        json.dumps(valid()).encode()[:-1] + b',"send_at":' + b"9" * 1_000_000 + b"}",
        json.dumps(valid()).encode()[:-1] + b',"subject":"\\udc00"}',
        json.dumps(valid()).encode()[:-1] + b',"subject":"twice"}',
        json.dumps(valid(personalizations=[to(f"a{n}@b.co") for n in range(1001)])).encode(),
        json.dumps(valid(headers={f"X-{n}": "x" * 20 for n in range(10_000)})).encode(),
        b"\x00\xff\xfe",
    ],
    ids=["deep", "deep inside", "huge integer", "surrogate", "key twice", "1001", "10000 headers", "no text"],
)  # fmt: skip
async def test_bad_input_is_refused_fast_and_never_a_500(api: World, key: str, raw: bytes) -> None:
    assert api.send(key, raw).status == 400


async def test_ten_thousand_http_headers_do_no_harm(api: World, key: str) -> None:
    headers = {f"X-{n}": "x" for n in range(90)}  # as many as the standard library's client reads back
    assert api.send(key, valid(), **headers).status == 202
    many = b"".join(b"X-%d: x\r\n" % n for n in range(10_000))
    answer = _raw(api, b"POST /v3/mail/send HTTP/1.1\r\nHost: x\r\n" + many + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 4")
    assert _raw(api, b"POST / HTTP/1.1\r\nX-Long: " + b"x" * 300_000).startswith(b"HTTP/1.1 400")
    assert api.send(key, valid()).status == 202


async def test_a_flush_makes_a_revoked_key_and_a_new_domain_count_at_once(api: World) -> None:
    tenant = await api.tenant("flushed", domains=("flushed.test",))
    key = await api.key(tenant)
    first, other = valid(**{"from": {"email": "a@flushed.test"}}), valid(**{"from": {"email": "a@new.test"}})
    assert (api.send(key, first).status, api.send(key, other).status) == (202, 403)
    await api.sql("INSERT INTO sender_domains VALUES ($1, 'new.test', 'c', 'b.new.test', now())", tenant)
    assert api.send(key, other).status == 403
    async with Publisher(api.environment["AMQP_URL"], name="test") as publisher:
        await publisher.publish(CONTROL, "", encode(Flush(tenant)), mandatory=False)
        await eventually(lambda: api.send(key, other).status == 202)
        await api.sql("UPDATE api_keys SET revoked_at = now() WHERE tenant_id = $1", tenant)
        await publisher.publish(CONTROL, "", encode(Flush(tenant)), mandatory=False)
        await eventually(lambda: api.send(key, first).status == 401)


def _chunked(api: World, key: str, raw: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=30)
    pieces = (raw[start : start + 100_000] for start in range(0, len(raw), 100_000))
    connection.request(
        "POST", "/v3/mail/send", pieces, {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}, encode_chunked=True
    )
    status = connection.getresponse().status
    connection.close()
    return status


def _raw(api: World, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as connection:
        try:
            connection.sendall(request)
            return connection.recv(65536)
        except ConnectionError:
            return b"HTTP/1.1 400 closed"
