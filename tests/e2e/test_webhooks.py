"""Events out: what customers' endpoints are posted, in SendGrid's form, signed, until they take it."""

from __future__ import annotations

import json
from time import time
from uuid import uuid4

import pytest
from sendgrid.helpers.eventwebhook import EventWebhook, EventWebhookHeader
from tests.e2e.conftest import Town
from tests.e2e.endpoint import KINDS, SETTINGS, Endpoint, Event, Post, configure, listening, sign
from tests.e2e.fleet import call, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("here")]
ALWAYS = {"email", "event", "timestamp", "sg_event_id", "sg_message_id", "smtp-id"}


def address(local: str = "ok", domain: str = "plain.test") -> str:
    return f"{local}+{uuid4().hex[:10]}@{domain}"


def is_signed(post: Post, public_key: str) -> bool:
    """Whether SendGrid's own helper takes a post."""
    helper = EventWebhook(public_key)
    signature, timestamp = EventWebhookHeader.SIGNATURE.lower(), EventWebhookHeader.TIMESTAMP.lower()
    return bool(helper.verify_signature(post.body.decode(), post.headers[signature], post.headers[timestamp]))


async def test_settings_are_shown_as_they_were_set_and_signing_off_and_on_makes_another_key(hooks: Town) -> None:
    url = f"http://127.0.0.1:{hooks.fleet.free_port()}/events?who=me"
    shown = configure(hooks, enabled=True, url=url, bounce=True, delivered=False, open=True)
    assert (shown["enabled"], shown["url"], shown["bounce"], shown["delivered"], shown["open"]) == (True, url, True, False, True)
    assert json.loads(hooks.client.client.user.webhooks.event.settings.get().body) == shown
    key = sign(hooks)
    assert sign(hooks) == key
    assert len(key) == 124
    assert json.loads(hooks.client.client.user.webhooks.event.settings.signed.get().body) == {"public_key": key}
    call("PATCH", f"{hooks.fleet.api_url}{SETTINGS}/signed", {"enabled": False}, hooks.api_key)
    assert json.loads(hooks.client.client.user.webhooks.event.settings.signed.get().body) == {"public_key": ""}
    assert sign(hooks) != key
    assert configure(hooks, enabled=False)["url"] == url


@pytest.mark.parametrize("url", ["ftp://a.test/", "nowhere", "http://", 7])
async def test_what_is_no_address_of_the_web_is_refused(hooks: Town, url: object) -> None:
    status, _, body = call("PATCH", f"{hooks.fleet.api_url}{SETTINGS}", {"enabled": True, "url": url}, hooks.api_key)
    assert status == 400
    assert "not a valid url" in json.loads(body)["errors"][0]["message"]


async def test_a_delivered_mail_is_two_events_that_the_official_helper_verifies(hooks: Town) -> None:
    to = address(domain="tls.test")
    key = sign(hooks)
    begun = int(time())
    async with listening(hooks) as endpoint:
        message_id = hooks.send(to, custom_args={"order": "42", "event": "mine"}, categories=["orders", "eu"])
        processed, delivered = await endpoint.hears("processed", to), await endpoint.hears("delivered", to)
        (mail,) = await hooks.arrived(to)
        for event in (processed, delivered):
            assert event.keys() >= ALWAYS | {"category", "order"}
            assert event["smtp-id"] == mail["message_id"]
            assert event["sg_message_id"].split(".")[0] == message_id
            assert event["category"] == ["orders", "eu"]
            assert event["order"] == "42"
            assert begun <= event["timestamp"] <= time() + 1
        assert processed["send_at"] == 0
        assert delivered["response"].startswith("250 ")
        assert delivered["tls"] == 1
        assert delivered["ip"] == "127.0.0.1"
        assert processed["sg_message_id"] == delivered["sg_message_id"]
        assert processed["sg_event_id"] != delivered["sg_event_id"]
        assert len(endpoint.of(to)) == 2
        for post in endpoint.posts:
            assert post.body.endswith(b"}]\r\n")
            assert post.body.count(b",\r\n") == len(post.events()) - 1
            assert post.headers["content-type"] == "application/json;charset=utf-8"
            assert post.headers["user-agent"] == "SendGrid Event API"
            assert is_signed(post, key)
            assert not is_signed(Post(post.body.replace(b"plain", b"plane") + b" ", post.headers, 200), key)


async def bounced(hooks: Town, endpoint: Endpoint, script: str) -> Event:
    to = address(script)
    hooks.send(to, custom_args={"order": "7"})
    event = await endpoint.hears("bounce", to)
    assert event.keys() >= ALWAYS | {"order", "reason", "status", "bounce_classification"}
    return event


async def test_every_fate_of_a_mail_is_an_event_with_sendgrids_fields(hooks: Town) -> None:
    async with listening(hooks) as endpoint:
        hard = await bounced(hooks, endpoint, "bounce")
        assert (hard["type"], hard["status"], hard["bounce_classification"]) == ("bounce", "5.1.1", "Invalid Address")
        assert "550 5.1.1" in hard["reason"]
        blocked = await bounced(hooks, endpoint, "block")
        assert (blocked["type"], blocked["status"]) == ("blocked", "5.7.1")

        hooks.send(hard["email"])
        dropped = await endpoint.hears("dropped", hard["email"])
        assert dropped["reason"] == "Bounced Address"
        assert dropped.keys() >= ALWAYS - {"smtp-id"}

        to = address("defer-1")
        hooks.send(to)
        deferred = await endpoint.hears("deferred", to)
        assert deferred["attempt"] == "0"
        assert deferred["response"].startswith("451 ")
        assert deferred["domain"] == "plain.test"
        await endpoint.hears("delivered", to)

        to = address("complain")
        hooks.send(to, custom_args={"order": "9"})
        complaint = await endpoint.hears("spamreport", to)
        assert complaint["order"] == "9"
        assert complaint["sg_message_id"] == (await endpoint.hears("delivered", to))["sg_message_id"]


async def test_a_bounce_that_comes_back_as_a_mail_carries_the_senders_arguments_too(hooks: Town) -> None:
    to = address("asyncbounce")
    async with listening(hooks) as endpoint:
        hooks.send(to, custom_args={"order": "11"}, categories=["late"])
        bounce = await endpoint.hears("bounce", to)
        assert (bounce["order"], bounce["category"], bounce["status"], bounce["type"]) == ("11", ["late"], "5.1.1", "bounce")


async def test_only_the_events_that_were_asked_for_are_posted(hooks: Town) -> None:
    to = address()
    async with listening(hooks) as endpoint:
        configure(hooks, **dict.fromkeys(KINDS, False) | {"delivered": True})
        hooks.send(to)
        await endpoint.hears("delivered", to)
        assert [event["event"] for event in endpoint.of(to)] == ["delivered"]


async def test_a_refused_post_comes_again_with_the_same_bytes(hooks: Town) -> None:
    to = address()
    async with listening(hooks) as endpoint:
        endpoint.status = 503
        hooks.send(to)
        await eventually(lambda: len(endpoint.of(to, status=503)) >= 2, within=20, why="both events were refused")
        endpoint.status = 200
        for name in ("processed", "delivered"):
            await endpoint.hears(name, to, within=45)
        refused = {post.body for post in endpoint.posts if post.status == 503 and to.encode() in post.body}
        taken = [post.body for post in endpoint.posts if post.status == 200 and to.encode() in post.body]
    assert refused <= set(taken)
    assert len(taken) == len(set(taken)), "what was taken does not come again"


async def test_a_dead_endpoint_is_told_everything_once_it_is_back(hooks: Town) -> None:
    people = [address() for _ in range(5)]
    async with listening(hooks) as endpoint:
        await endpoint.stop()
        for to in people:
            await hooks.settled(hooks.send(to), "delivered")
        await endpoint.start()
        ids = set()
        for to in people:
            for name in ("processed", "delivered"):
                ids.add((await endpoint.hears(name, to, within=60))["sg_event_id"])
    assert len(ids) == 10


async def test_an_endpoint_that_answers_nothing_holds_back_nobody_else(here: Town, hooks: Town) -> None:
    other = address()
    async with listening(hooks) as stuck, listening(here) as endpoint:
        stuck.go.clear()
        people = [{"to": [{"email": address()}]} for _ in range(100)]
        hooks.send("", personalizations=people)
        await hooks.arrived(people[-1]["to"][0]["email"])
        here.send(other)
        await endpoint.hears("delivered", other, within=12)  # a post that is answered by nothing lasts 15
        stuck.go.set()
        for person in people:
            await stuck.hears("delivered", person["to"][0]["email"], within=60)
