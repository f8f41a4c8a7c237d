from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.mail.address import parse_address
from scaisend_common.mail.ids import DeliveryId, delivery_id, made_at, submission_id, submission_of
from scaisend_common.mail.verp import LIFETIME, Expired, Forged, ReturnPath, read_return_path, return_path_local

submissions = st.builds(submission_id, st.integers(0, 2**42), st.binary(min_size=10, max_size=10))
deliveries = st.builds(delivery_id, submissions, st.integers(0, 9999), st.integers(0, 9999))
tenants = st.integers(0, 2**31 - 1)
secrets = st.binary(min_size=32, max_size=32)
KEYS = {"k1": b"1" * 32}


def soon(delivery: DeliveryId) -> datetime:
    return made_at(submission_of(delivery)) + timedelta(days=1)


@given(tenants, deliveries, secrets, st.data())
def test_a_return_path_is_read_back_whatever_happened_to_its_case(
    tenant: int, delivery: DeliveryId, key: bytes, data: st.DataObject
) -> None:
    local = return_path_local({"k": key}, tenant, delivery)
    folded = "".join(character.upper() if data.draw(st.booleans()) else character for character in local)
    assert read_return_path(folded, {"k": key}, soon(delivery)) == ReturnPath(tenant, delivery)


@given(tenants, deliveries)
def test_a_return_path_is_a_plain_local_part(tenant: int, delivery: DeliveryId) -> None:
    local = return_path_local(KEYS, tenant, delivery)
    assert len(local) == 63
    assert local == local.lower()
    assert str(parse_address(f"{local}@bounces.example.com")) == f"{local}@bounces.example.com"


@given(tenants, deliveries, st.integers(0, 62), st.characters(codec="ascii"))
def test_a_changed_return_path_is_forged(tenant: int, delivery: DeliveryId, at: int, character: str) -> None:
    local = return_path_local(KEYS, tenant, delivery)
    changed = local[:at] + character + local[at + 1 :]
    if changed.lower() != local:
        assert read_return_path(changed, KEYS, soon(delivery)) == Forged()


@given(st.text(max_size=70) | st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=61, max_size=61).map("b.".__add__))
def test_what_we_never_made_is_forged(local: str) -> None:
    assert read_return_path(local, KEYS, datetime(2026, 1, 1, tzinfo=UTC)) == Forged()


@given(tenants, deliveries)
def test_every_other_last_character_is_forged(tenant: int, delivery: DeliveryId) -> None:
    local = return_path_local(KEYS, tenant, delivery)
    others = {local[:-1] + character for character in "abcdefghijklmnopqrstuvwxyz234567"} - {local}
    assert {read_return_path(other, KEYS, soon(delivery)) for other in others} == {Forged()}


@given(tenants, deliveries, secrets, secrets)
def test_the_first_key_signs_and_every_key_held_is_read(tenant: int, delivery: DeliveryId, old: bytes, new: bytes) -> None:
    made_before = return_path_local({"old": old}, tenant, delivery)
    made_now = return_path_local({"new": new, "old": old}, tenant, delivery)
    both = {"new": new, "old": old}
    assert read_return_path(made_before, both, soon(delivery)) == ReturnPath(tenant, delivery)
    assert read_return_path(made_now, {"new": new}, soon(delivery)) == ReturnPath(tenant, delivery)
    assert read_return_path(made_before, {"new": new}, soon(delivery)) == Forged()
    if old != new:
        assert read_return_path(made_before, {"old": new}, soon(delivery)) == Forged()


@given(tenants, deliveries)
def test_a_return_path_expires_after_thirty_days(tenant: int, delivery: DeliveryId) -> None:
    local = return_path_local(KEYS, tenant, delivery)
    end = made_at(submission_of(delivery)) + LIFETIME
    assert read_return_path(local, KEYS, end) == ReturnPath(tenant, delivery)
    assert read_return_path(local, KEYS, end + timedelta(milliseconds=1)) == Expired()


def test_a_hundred_thousand_forged_tags_are_all_refused() -> None:
    delivery = delivery_id(submission_id(1_763_892_000_123, bytes(10)), 0, 0)
    local = return_path_local(KEYS, 7, delivery)
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    now = soon(delivery)
    for number in range(100_000):
        tag = "".join(alphabet[number >> shift & 31] for shift in (0, 5, 10, 15))
        assert local[-6:-2] == tag or read_return_path(local[:-6] + tag + local[-2:], KEYS, now) == Forged()


@pytest.mark.parametrize("text", ["", "x", "AZqwNFd7cAGCAwQFBgcICQ", "AZqwNFd7cAGCAwQFBgcICQ.0", "AZqwNFd7cAGCAwQFBgcICQ.0.-1"])
def test_what_is_no_delivery_has_no_return_path(text: str) -> None:
    with pytest.raises(ValueError, match="no delivery id"):
        return_path_local(KEYS, 1, DeliveryId(text))
