"""The settings of the event webhook: the form without id."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import aio_pika
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key
from hypothesis import given
from hypothesis import strategies as st
from tests.api.requests import json_values
from tests.api.world import World

from scaisend_api.webhook_form import KINDS, EndpointForm, changed, is_web_address
from scaisend_common.messages import Flush, decode_control
from scaisend_common.plumbing.crypto import KeyRing, open_sealed

SETTINGS = "/v3/user/webhooks/event/settings"
URL = "https://example.com/events?x=1"


@given(st.dictionaries(st.sampled_from(["enabled", "url", "other", *KINDS]), st.booleans() | st.just(URL) | json_values) | json_values)
def test_any_wish_changes_the_form_or_is_answered(wish: Any) -> None:
    form = changed(EndpointForm(), wish)
    assert isinstance(form, str) or not form.enabled or is_web_address(form.url)


@given(st.sets(st.sampled_from(KINDS)), st.booleans())
def test_a_form_that_is_sent_back_stays_as_it_is(kinds: set[str], enabled: bool) -> None:
    form = EndpointForm(enabled, URL, frozenset(kinds))
    assert changed(form, form.view()) == form  # type: ignore[arg-type]  # a dict of JSON values, to mypy of something narrower


def test_only_web_addresses_are_taken() -> None:
    assert all(map(is_web_address, ["http://a.b", "https://user@a.b:8443/x?y#z", "http://[::1]:80/"]))
    assert not any(
        map(
            is_web_address,
            [
                "",
                "a.b",
                "ftp://a.b",
                "http://",
                "http://a.b:x",
                "http://a.b:0",
                "http://a b",
                "http://[",
                "http://a.b/\n",
                "http://a.b/" + "x" * 3000,
            ],
        )
    )


async def test_settings_begin_empty_and_keep_what_was_set(api: World) -> None:
    key, other = [await api.key(await api.tenant(slug, domains=())) for slug in ("hooked", "unhooked")]
    empty = api.get(key, SETTINGS)
    assert (empty.status, empty.json()) == (200, {"enabled": False, "url": "", **dict.fromkeys(KINDS, False)})
    changed_ = api.post(key, SETTINGS, {"enabled": True, "url": URL, "delivered": True, "bounce": True, "unheard_of": 1})
    assert changed_.status == 200
    assert changed_.json() == empty.json() | {"enabled": True, "url": URL, "delivered": True, "bounce": True}
    assert api.post(key, SETTINGS, {"bounce": False}).json()["delivered"] is True
    assert api.get(key, SETTINGS).json()["bounce"] is False
    assert api.get(other, SETTINGS).json() == empty.json()
    refused = api.post(key, SETTINGS, {"url": "nonsense"})
    assert (refused.status, refused.body) == (400, b'{"errors":[{"message":"\'nonsense\' is not a valid url"}]}')
    assert api.post(key, SETTINGS, b"{").status == 400
    assert api.post("SG.nonsense", SETTINGS, {}).status == 401
    assert api.post(key, SETTINGS, {}, "DELETE").status == 405


async def test_signing_has_a_key_that_stays_until_it_is_switched_off(api: World) -> None:
    tenant = await api.tenant("signed", domains=())
    key = await api.key(tenant)
    assert api.get(key, f"{SETTINGS}/signed").json() == {"public_key": ""}
    first = api.post(key, f"{SETTINGS}/signed", {"enabled": True}).json()["public_key"]
    assert (len(first), first[:36]) == (124, "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE")
    assert api.post(key, f"{SETTINGS}/signed", {"enabled": True}).json()["public_key"] == first
    assert api.post(key, SETTINGS, {"enabled": True, "url": URL}).json()["public_key"] == first
    (row,) = await api.sql("SELECT id, sealed_key, kek_kid FROM webhook_endpoints WHERE tenant_id = $1", tenant)
    kek = KeyRing.parse(api.environment["SCAISEND_KEK"])
    private = load_der_private_key(open_sealed(kek, row["kek_kid"], row["sealed_key"], f"webhook|{tenant}|{row['id']}"), None)
    assert isinstance(private, EllipticCurvePrivateKey)
    assert private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == b64decode(first)
    assert api.post(key, f"{SETTINGS}/signed", {"enabled": False}).json() == {"public_key": ""}
    assert api.post(key, f"{SETTINGS}/signed", {"enabled": True}).json()["public_key"] != first
    assert api.post(key, f"{SETTINGS}/signed", {"enabled": "yes"}).status == 400


async def test_a_change_is_announced_to_whoever_posts_events(api: World) -> None:
    tenant = await api.tenant("announced", domains=())
    key = await api.key(tenant)
    async with await aio_pika.connect(api.environment["AMQP_URL"]) as connection, connection.channel() as channel:
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind("control")
        api.post(key, SETTINGS, {"enabled": True, "url": URL})
        message = await queue.get(timeout=5)
        assert decode_control(message.body) == Flush(tenant)
