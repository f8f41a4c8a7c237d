"""API keys prove themselves, and nothing else does."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from scaisend_api.grant import Grant, bearer_token, proves
from scaisend_common.plumbing.crypto import KeyRing, api_key_mac, new_api_key, new_key_ring

RING = KeyRing.parse(f"{new_key_ring('new')},{new_key_ring('old')}")
KEY = new_api_key()


def grant(kid: str, scopes: frozenset[str] = frozenset()) -> Grant:
    return Grant("t", KEY.key_id, scopes, None, is_suspended=False, mac=api_key_mac(RING.get(kid, bytes(32)), KEY.text), pepper_kid=kid)


def test_a_key_proves_itself_under_the_pepper_that_it_was_made_with() -> None:
    assert proves(KEY.text, grant("new"), RING)
    assert proves(KEY.text, grant("old"), RING)
    assert not proves(KEY.text, grant("gone"), RING)
    assert not proves(KEY.text, None, RING)


@given(st.integers(0, len(KEY.text) - 1), st.characters(codec="ascii"))
def test_a_changed_key_proves_nothing(at: int, letter: str) -> None:
    changed = KEY.text[:at] + letter + KEY.text[at + 1 :]
    assert proves(changed, grant("new"), RING) == (changed == KEY.text)


def test_full_access_has_every_scope_and_others_what_they_name() -> None:
    assert grant("new", frozenset(("*",))).allows("mail.send")
    assert grant("new", frozenset(("mail.send",))).allows("mail.send")
    assert not grant("new", frozenset(("stats.read",))).allows("mail.send")


@given(st.text())
def test_only_a_bearer_has_a_token(header: str) -> None:
    token = bearer_token(header)
    assert not token or re.match(r"(?i)bearer .", header)
    assert bearer_token(f"BEARER {KEY.text} ") == KEY.text
