from base64 import urlsafe_b64decode
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.mail.ids import (
    DeliveryId,
    SubmissionId,
    delivery_id,
    delivery_of_sg_message_id,
    event_id,
    is_submission_id,
    made_at,
    message_id,
    parse_delivery_id,
    sg_message_id,
    submission_id,
    submission_of,
)

instants = st.integers(0, 2**42)  # milliseconds, until the year 2109
entropies = st.binary(min_size=10, max_size=10)
submissions = st.builds(submission_id, instants, entropies)
indexes = st.integers(0, 999)
deliveries = st.builds(delivery_id, submissions, indexes, indexes)


@given(instants, entropies)
def test_an_id_carries_its_instant_to_the_millisecond(now_ms: int, entropy: bytes) -> None:
    submission = submission_id(now_ms, entropy)
    assert is_submission_id(submission)
    assert round(made_at(submission).timestamp() * 1000) == now_ms


@given(instants, entropies)
def test_an_id_is_a_uuid_of_version_7(now_ms: int, entropy: bytes) -> None:
    raw = urlsafe_b64decode(submission_id(now_ms, entropy) + "==")
    assert (raw[6] >> 4, raw[8] >> 6) == (7, 2)


@given(instants, entropies, entropies)
def test_ids_of_one_instant_differ_in_nearly_all_of_their_entropy(now_ms: int, one: bytes, other: bytes) -> None:
    value = [int.from_bytes(entropy) & ~(0xF << 76 | 0x3 << 62) for entropy in (one, other)]
    assert (submission_id(now_ms, one) == submission_id(now_ms, other)) == (value[0] == value[1])


@pytest.mark.parametrize("entropy", [b"", b"123456789", b"12345678901"])
def test_ten_octets_of_entropy_are_asked_for(entropy: bytes) -> None:
    with pytest.raises(ValueError, match="10 bytes"):
        submission_id(0, entropy)


@given(submissions, indexes, indexes)
def test_a_delivery_id_is_read_back(submission: SubmissionId, personalization: int, recipient: int) -> None:
    delivery = delivery_id(submission, personalization, recipient)
    assert parse_delivery_id(delivery) == (submission, personalization, recipient)
    assert submission_of(delivery) == submission


@given(deliveries)
def test_an_sg_message_id_names_its_delivery_and_begins_with_the_submission(delivery: DeliveryId) -> None:
    text = sg_message_id(delivery)
    assert delivery_of_sg_message_id(text) == delivery
    assert text.split(".")[0] == submission_of(delivery)
    assert len(text.split(".")) == 3


@given(deliveries, deliveries, st.sampled_from(["delivered", "bounce", "deferred"]), st.integers(0, 30), st.integers(0, 30))
def test_event_ids_are_equal_exactly_for_the_same_fact(one: DeliveryId, other: DeliveryId, kind: str, first: int, second: int) -> None:
    assert (event_id(kind, first, one) == event_id(kind, second, other)) == ((first, one) == (second, other))
    assert event_id(kind, first, one) != event_id("open", first, one)


@given(st.text(max_size=60))
def test_no_text_at_all_breaks_a_reader(text: str) -> None:
    assert parse_delivery_id(text) is None or is_submission_id(text[:22])
    assert delivery_of_sg_message_id(text) is None or is_submission_id(text[:22])


@given(deliveries, st.integers(0, 60), st.characters())
def test_a_changed_sg_message_id_names_another_delivery_or_none(delivery: DeliveryId, at: int, character: str) -> None:
    text = sg_message_id(delivery)
    at %= len(text)
    changed = text[:at] + character + text[at + 1 :]
    found = delivery_of_sg_message_id(changed)
    assert found is None or sg_message_id(found)


@given(st.text("ABCXYZabcxyz019-_", min_size=22, max_size=22) | st.sampled_from(["_" * 22, "5" + "_" * 21, "A" * 22]))
def test_every_submission_id_has_an_instant(text: str) -> None:
    if is_submission_id(text):
        assert made_at(SubmissionId(text)).year <= 9999


@given(deliveries)
def test_a_message_id_is_short_and_bracketed(delivery: DeliveryId) -> None:
    assert message_id(delivery, "example.com") == f"<{delivery}@example.com>"
    assert len(message_id(delivery, "example.com")) < 78


def test_a_known_id_is_what_it_always_was() -> None:
    submission = submission_id(1_763_892_000_123, bytes(range(10)))
    assert submission == "AZqwJ_V7cAGCAwQFBgcICQ"
    assert made_at(submission) == datetime(2025, 11, 23, 10, 0, 0, 123000, tzinfo=UTC)
