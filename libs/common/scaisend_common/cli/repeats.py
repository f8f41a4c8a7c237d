"""Marking a replayed message as what it may be: a repeat of something that somebody has done already."""

from __future__ import annotations

from msgspec.structs import replace

from scaisend_common.messages import (
    JobBatch,
    LaterBatch,
    SubmissionBatch,
    Undecodable,
    decode_jobs,
    decode_later,
    decode_submissions,
    encode,
)
from scaisend_common.topology import LATER_QUEUE


def as_repeat(queue: str, body: bytes) -> bytes:
    """Return the message that was parked from `queue`, its jobs marked `repeat`, so that they meet the ledger before any attempt.

    Events stay as they are: their ids make a repeat harmless; so does what cannot be read, which parks again. Raises NewerVersion.
    """
    try:
        match queue.partition(".")[0]:
            case "submit":
                return _submissions(decode_submissions(body))
            case "deliver":
                return _jobs(decode_jobs(body))
            case "later" if queue == LATER_QUEUE:
                return _later(decode_later(body))
            case _:
                return body
    except Undecodable:
        return body


def _submissions(batch: SubmissionBatch) -> bytes:
    return encode(SubmissionBatch(tuple(replace(submission, repeat=True) for submission in batch.submissions)))


def _jobs(batch: JobBatch) -> bytes:
    return encode(JobBatch(tuple(replace(job, repeat=True) for job in batch.jobs)))


def _later(batch: LaterBatch) -> bytes:
    return encode(LaterBatch(tuple(replace(item, job=replace(item.job, repeat=True)) for item in batch.items)))
