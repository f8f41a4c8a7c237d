"""A request becomes one message at the broker; what is large lies apart."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.api.requests import NOW, body, to, valid

from scaisend_api.grant import Grant
from scaisend_api.limits import Limits
from scaisend_api.mail_request import MailRequest
from scaisend_api.reading import read_request
from scaisend_api.recent import SECONDS, Recent
from scaisend_api.streams import Streams
from scaisend_api.submission import Label, inline_parcel_of, parcel_of
from scaisend_common.mail.ids import SubmissionId
from scaisend_common.messages import (
    INLINE_LIMIT,
    Content,
    ContentRef,
    Personalizations,
    PersonalizationsRef,
    Stream,
    Submission,
    decode_content,
    decode_personalizations,
)

LABEL = Label(SubmissionId("a" * 22), "t", "k", NOW, Stream.BULK, repeat=True)
MOST = 1024 * 1024

decode_submission = msgspec.msgpack.Decoder(Submission).decode


def request(recipients: int, size: int, substitution: int = 0) -> MailRequest:
    people = [to(f"a{n}@b.co", **({"substitutions": {"-n-": "x" * substitution}} if substitution else {})) for n in range(recipients)]
    found = read_request(body(valid(personalizations=people, content=[{"type": "text/plain", "value": "x" * size}])), NOW, Limits())
    assert isinstance(found, MailRequest)
    return found


@given(st.sampled_from([1, 2, 50, 1000]), st.sampled_from([1, 1024, 4096, 100_000, 200_000, 5_000_000]), st.sampled_from([0, 1000]))
def test_nothing_is_lost_by_reference_and_no_message_is_large(recipients: int, size: int, substitution: int) -> None:
    asked = request(recipients, size, substitution)
    parcel = parcel_of(asked, LABEL)
    submission = decode_submission(parcel.encoded)
    assert len(parcel.encoded) < MOST
    blobs = {blob.key: blob.content for blob in parcel.blobs}
    content = decode_content(blobs[submission.content.key]) if isinstance(submission.content, ContentRef) else submission.content
    people = submission.personalizations
    if isinstance(people, PersonalizationsRef):
        assert people.count == recipients
        people = decode_personalizations(blobs[people.key])
    assert (content, people.items) == (asked.content, asked.personalizations)
    assert {blob.key.n for blob in parcel.blobs} == {blob.key.n for blob in parcel.blobs if len(blob.content) > 1024}
    assert (submission.repeat, submission.stream, submission.accepted_at) == (True, Stream.BULK, NOW)


def test_content_for_many_goes_by_reference_and_may_travel_all_the_same() -> None:
    parcel = parcel_of(request(1000, 4096), LABEL)
    assert [(blob.key.n, blob.may_travel) for blob in parcel.blobs] == [(0, True)]
    assert isinstance(decode_submission(inline_parcel_of(request(1000, 4096), LABEL).encoded).content, Content)
    assert not parcel_of(request(20, 4096), LABEL).blobs
    assert [blob.may_travel for blob in parcel_of(request(1, INLINE_LIMIT + 1), LABEL).blobs] == [False]


def test_small_content_for_many_is_not_worth_a_blob() -> None:
    assert isinstance(decode_submission(parcel_of(request(1000, 100), LABEL).encoded).personalizations, Personalizations)
    assert not parcel_of(request(1000, 100), LABEL).blobs


def grant(stream: Stream | None = None) -> Grant:
    return Grant("t", "k", frozenset("*"), stream, is_suspended=False, mac=b"", pepper_kid="")


def test_a_key_beyond_its_transactional_rate_sends_bulk_until_it_slows_down() -> None:
    now = 0.0
    streams = Streams(bulk_above=50, rate=10, burst=20, now=lambda: now)
    assert [streams.choose(grant(), 10) for _ in range(3)] == [Stream.TRANSACTIONAL, Stream.TRANSACTIONAL, Stream.BULK]
    assert streams.choose(grant(Stream.TRANSACTIONAL), 1000) is Stream.TRANSACTIONAL
    assert streams.choose(grant(Stream.BULK), 1) is Stream.BULK
    beyond = []
    while now < 5:  # at twice its rate: all of it, as a part would overtake the rest
        now += 0.5
        beyond.append(streams.choose(grant(), 10))
    assert set(beyond) == {Stream.BULK}
    now += 3.0
    assert streams.choose(grant(), 10) is Stream.TRANSACTIONAL
    now = 100.0
    assert streams.choose(grant(), 51) is Stream.BULK


def test_what_comes_next_is_known_to_be_bulk_from_its_key_and_rate_alone() -> None:
    now = 0.0
    streams = Streams(bulk_above=50, rate=10, burst=20, now=lambda: now)
    assert streams.expects_bulk(grant(Stream.BULK))
    assert not streams.expects_bulk(grant(Stream.TRANSACTIONAL))
    assert not streams.expects_bulk(grant())
    streams.choose(grant(), 20)
    assert streams.expects_bulk(grant())
    assert not streams.expects_bulk(grant(Stream.TRANSACTIONAL))
    now = 0.2
    assert not streams.expects_bulk(grant())
    assert streams.choose(grant(), 1) is Stream.TRANSACTIONAL  # being asked took nothing


def test_recent_submissions_are_known_to_their_tenant_for_seconds() -> None:
    now = 0.0
    recent = Recent(lambda: now)
    first, later, last = (SubmissionId(letter * 22) for letter in "abc")
    recent.add(first, "t")
    assert recent.is_of(first, "t")
    assert not recent.is_of(first, "other")
    assert not recent.is_of(later, "t")
    now = SECONDS + 1
    recent.add(later, "t")
    assert recent.is_of(first, "t")
    now = 2 * SECONDS + 2
    recent.add(last, "t")
    assert not recent.is_of(first, "t")
    assert recent.is_of(later, "t")
