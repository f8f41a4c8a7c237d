import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from scaisend_common.cli.repeats import as_repeat
from scaisend_common.mail.address import Address, Mailbox
from scaisend_common.mail.events import Origin
from scaisend_common.mail.ids import delivery_id, submission_id
from scaisend_common.messages import (
    Content,
    Head,
    Job,
    JobBatch,
    LaterBatch,
    LaterItem,
    NewerVersion,
    Part,
    Personalization,
    Personalizations,
    Stream,
    Submission,
    SubmissionBatch,
    Undecodable,
    WhyLater,
    decode_jobs,
    decode_later,
    decode_submissions,
    encode,
)
from scaisend_common.topology import Topology

SENDER = Mailbox(Address("shop", "example.com"))
RCPT = Address("ok", "plain.test")
ID = submission_id(1_800_000_000_000, bytes(10))
CONTENT = Content((Part("text/plain", "hello"),))
SUBMISSION = Submission(
    submission_id=ID,
    tenant_id="t",
    stream=Stream.TRANSACTIONAL,
    accepted_at=1.0,
    api_key_id="k",
    sender=SENDER,
    content=CONTENT,
    personalizations=Personalizations((Personalization(to=(Mailbox(RCPT),)),)),
)


def job(n: int) -> Job:
    return Job(
        delivery_id=delivery_id(ID, 0, n),
        tenant_id="t",
        attempt=1,
        accepted_at=1.0,
        routed_at=2.0,
        expires_at=3.0,
        stream=Stream.BULK,
        group="default",
        source="default",
        site="plain.test",
        shard=0,
        rcpt=RCPT,
        head=Head(sender=SENDER, to=(Mailbox(RCPT),)),
        content=CONTENT,
        origin=Origin(),
    )


counts = st.integers(1, 25)


@given(counts)
def test_jobs_are_marked_and_nothing_else_changes(count: int) -> None:
    jobs = tuple(job(n) for n in range(count))
    marked = decode_jobs(as_repeat("deliver.default.0.bulk", encode(JobBatch(jobs))))
    assert marked.jobs == tuple(replace(each, repeat=True) for each in jobs)


@given(counts)
def test_what_waits_is_marked_and_keeps_its_time(count: int) -> None:
    items = tuple(LaterItem(float(n), WhyLater.RETRY, job(n)) for n in range(count))
    marked = decode_later(as_repeat("later", encode(LaterBatch(items))))
    assert marked.items == tuple(replace(each, job=replace(each.job, repeat=True)) for each in items)


@given(counts)
def test_submissions_are_marked(count: int) -> None:
    marked = decode_submissions(as_repeat("submit.transactional.0", encode(SubmissionBatch((SUBMISSION,) * count))))
    assert marked.submissions == (replace(SUBMISSION, repeat=True),) * count


def test_a_submission_by_itself_is_one_of_one() -> None:
    assert decode_submissions(encode(SUBMISSION)) == SubmissionBatch((SUBMISSION,))
    with pytest.raises(Undecodable, match="submissions"):
        decode_submissions(b"\x01\x80")


@given(st.sampled_from([queue.name for queue in Topology().queues()]), st.binary(max_size=50).filter(lambda body: body[:1] <= b"\x01"))
def test_what_cannot_be_read_goes_as_it_is_and_parks_again(queue: str, body: bytes) -> None:
    assert as_repeat(queue, body) == body


def test_events_go_as_they_are() -> None:
    assert as_repeat("record.0", b"\x01anything") == b"\x01anything"


def test_what_a_newer_release_wrote_stays_parked() -> None:
    with pytest.raises(NewerVersion):
        as_repeat("later", b"\x02anything")
