"""What the tests of this room send: values, and strategies of them."""

from __future__ import annotations

import itertools

from hypothesis import strategies as st

from scaisend_common.mail.address import Address, Mailbox
from scaisend_common.mail.events import (
    BounceEvent,
    DeferredEvent,
    DeliveredEvent,
    DroppedEvent,
    Event,
    Origin,
    ProcessedEvent,
    SpamReportEvent,
    UnknownEvent,
)
from scaisend_common.mail.ids import DeliveryId, SubmissionId, delivery_id, event_id, submission_id
from scaisend_common.mail.reply import Reply
from scaisend_common.mail.verdict import BounceKind
from scaisend_common.messages import Content, Head, Job, Part, Personalization, Personalizations, Stream, Submission

T0 = 1_790_000_000.0
TENANT = "00000000-0000-4000-8000-000000000001"
OTHER = "00000000-0000-4000-8000-000000000002"
CONTENT = Content((Part("text/plain", "hello"),))
_serial = itertools.count(1)


def an_id(at: float = T0) -> SubmissionId:
    return submission_id(int(at * 1000), next(_serial).to_bytes(10))


def box(text: str, name: str = "") -> Mailbox:
    local, _, domain = text.rpartition("@")
    return Mailbox(Address(local, domain), name)


def a_submission(*recipients: str, tenant_id: str = TENANT, at: float = T0, **fields: object) -> Submission:
    values: dict[str, object] = {
        "submission_id": an_id(at),
        "tenant_id": tenant_id,
        "stream": Stream.TRANSACTIONAL,
        "accepted_at": at,
        "api_key_id": "k" * 22,
        "sender": box("sender@example.com"),
        "subject": "a subject",
        "content": CONTENT,
        "personalizations": Personalizations(tuple(Personalization(to=(box(each),)) for each in recipients)),
    }
    return Submission(**(values | fields))  # type: ignore[arg-type]


def a_job(rcpt: str = "ann@plain.test", *, tenant_id: str = TENANT, at: float = T0, **fields: object) -> Job:
    values: dict[str, object] = {
        "delivery_id": delivery_id(an_id(at), 0, 0),
        "tenant_id": tenant_id,
        "attempt": 1,
        "accepted_at": at,
        "routed_at": at,
        "expires_at": at + 72 * 3600,
        "stream": Stream.TRANSACTIONAL,
        "group": "default",
        "source": "default",
        "site": "plain.test",
        "shard": 0,
        "rcpt": box(rcpt).address,
        "head": Head(sender=box("sender@example.com"), to=(box(rcpt),)),
        "content": CONTENT,
        "origin": Origin(from_email="sender@example.com", subject="a subject"),
    }
    return Job(**(values | fields))  # type: ignore[arg-type]


def common_fields(kind: str, delivery: DeliveryId, attempt: int, **fields: object) -> dict[str, object]:
    return {
        "event_id": event_id(kind, attempt, delivery),
        "tenant_id": TENANT,
        "delivery_id": delivery,
        "at": T0 + attempt,
        "email": "Ann@plain.test",
        "attempt": attempt,
        "origin": Origin(from_email="sender@example.com", subject="a subject", categories=("a", "b")),
        "message_id": f"<{delivery}@example.com>",
    } | fields


def processed(delivery: DeliveryId, **fields: object) -> ProcessedEvent:
    return ProcessedEvent(**common_fields("processed", delivery, 0, **fields))  # type: ignore[arg-type]


def dropped(delivery: DeliveryId, attempt: int = 0, **fields: object) -> DroppedEvent:
    return DroppedEvent(**common_fields("drop", delivery, attempt, **fields), reason="Bounced Address")  # type: ignore[arg-type]


def deferred(delivery: DeliveryId, attempt: int = 1, **fields: object) -> DeferredEvent:
    return DeferredEvent(**common_fields("deferred", delivery, attempt, **fields), why="451 later")  # type: ignore[arg-type]


def delivered(delivery: DeliveryId, attempt: int = 1, **fields: object) -> DeliveredEvent:
    return DeliveredEvent(**common_fields("delivered", delivery, attempt, **fields), reply=Reply(250, "2.0.0", "ok"))  # type: ignore[arg-type]


def unknown(delivery: DeliveryId, attempt: int = 1) -> UnknownEvent:
    return UnknownEvent(**common_fields("unknown", delivery, attempt), why="no reply")  # type: ignore[arg-type]


def spamreport(delivery: DeliveryId, **fields: object) -> SpamReportEvent:
    return SpamReportEvent(**common_fields("spamreport", delivery, 0, **fields))  # type: ignore[arg-type]


def bounce(
    delivery: DeliveryId,
    attempt: int = 1,
    *,
    status: str = "5.1.1",
    kind: BounceKind = BounceKind.BOUNCE,
    asynchronous: bool = False,
    text: str = "no such user",
    **fields: object,
) -> BounceEvent:
    name = "async-bounce" if asynchronous else "bounce"
    return BounceEvent(
        **common_fields(name, delivery, 0 if asynchronous else attempt, **fields),  # type: ignore[arg-type]
        why=text,
        status=status,
        kind=kind,
        classification="Invalid Address" if status == "5.1.1" else "Mailbox Unavailable",
        reply=Reply(550, status, text),
        asynchronous=asynchronous,
    )


locals_ = st.text("abcdefgh", min_size=1, max_size=6)
domains = st.sampled_from(["plain.test", "tls.test", "7bit.test", "elsewhere.test"])
mailboxes = st.builds(lambda local, domain, name: Mailbox(Address(local, domain), name), locals_, domains, st.text(max_size=5))
headers = st.dictionaries(st.sampled_from(["X-One", "x-one", "X-Two", "X-THREE"]), st.text(max_size=8), max_size=3)
texts = st.dictionaries(st.text("ab", min_size=1, max_size=2), st.text(max_size=4), max_size=3)
times = st.none() | st.integers(int(T0) - 1000, int(T0) + 72 * 3600)

personalizations = st.builds(
    Personalization,
    to=st.lists(mailboxes, min_size=1, max_size=4).map(tuple),
    cc=st.lists(mailboxes, max_size=3).map(tuple),
    bcc=st.lists(mailboxes, max_size=3).map(tuple),
    sender=st.none() | mailboxes,
    subject=st.none() | st.text(max_size=5),
    headers=headers,
    substitutions=texts,
    custom_args=texts,
    template_data=st.sampled_from([b"", b"{}"]),
    send_at=times,
)
submissions = st.builds(
    a_submission,
    tenant_id=st.sampled_from([TENANT, OTHER]),
    personalizations=st.lists(personalizations, min_size=1, max_size=4).map(lambda items: Personalizations(tuple(items))),
    headers=headers,
    custom_args=texts,
    send_at=times,
    template_id=st.none() | st.just("d-" + "0" * 32),
    stream=st.sampled_from(list(Stream)),
    repeat=st.booleans(),
)
deliveries = st.sampled_from([delivery_id(an_id(), p, r) for p in range(2) for r in range(3)])
attempts = st.integers(1, 4)
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(processed, deliveries),
    st.builds(dropped, deliveries, attempts | st.just(0)),
    st.builds(deferred, deliveries, attempts),
    st.builds(delivered, deliveries, attempts),
    st.builds(unknown, deliveries, attempts),
    st.builds(spamreport, deliveries),
    st.builds(bounce, deliveries, attempts, status=st.sampled_from(["5.1.1", "5.2.2", "5.7.1"]), asynchronous=st.booleans()),
)
