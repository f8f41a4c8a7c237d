"""Answers as HTTP has them, with the bodies and headers that SendGrid's clients know (contract section 1). Pure.

mail/send and the rest of the API write errors differently: three keys, `message` first, against two, `field` first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from scaisend_api.problem import Problem
from scaisend_common.mail.ids import SubmissionId

Headers = tuple[tuple[bytes, bytes], ...]

OTHER_HEADERS: Final[Headers] = (
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains"),
    (b"content-security-policy", b"frame-ancestors 'none'"),
    (b"cache-control", b"no-cache"),
    (b"x-content-type-options", b"no-sniff"),  # misspelt by SendGrid; seen on the wire
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
)
MAIL_HEADERS: Final[Headers] = (
    (b"access-control-allow-origin", b"https://sendgrid.api-docs.io"),
    (b"access-control-allow-methods", b"POST"),
    (b"access-control-allow-headers", b"Authorization, Content-Type, On-behalf-of, x-sg-elas-acl"),
    (b"access-control-max-age", b"600"),
    (b"x-no-cors-reason", b"https://sendgrid.com/docs/Classroom/Basics/API/cors.html"),
    *OTHER_HEADERS,
)
JSON_TYPE: Final = (b"content-type", b"application/json")
RETRY_SECONDS: Final = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a body, and the headers that this answer has beside those of all."""

    status: int
    body: bytes = b""
    headers: Headers = ()


def json_answer(status: int, value: object, *headers: tuple[bytes, bytes]) -> Answer:
    """Return an answer with a JSON body."""
    return Answer(status, msgspec.json.encode(value), (JSON_TYPE, *headers))


def mail_error(status: int, problems: Sequence[Problem], *headers: tuple[bytes, bytes]) -> Answer:
    """Return an error as mail/send writes it: all problems of the request."""
    return json_answer(status, {"errors": [problem._asdict() for problem in problems]}, *headers)


def error(status: int, message: str, field: str | None = None, *headers: tuple[bytes, bytes]) -> Answer:
    """Return an error as all other resources write it."""
    return json_answer(status, {"errors": [{"field": field, "message": message}]}, *headers)


def accepted(submission: SubmissionId) -> Answer:
    """Return the answer to mail that is now ours."""
    return Answer(202, headers=((b"x-message-id", submission.encode()),))


def unavailable() -> Answer:
    """Return the answer where the broker, or what is needed to authenticate, is away: nothing is known to be taken."""
    return mail_error(503, [Problem("Service Unavailable")], (b"retry-after", b"%d" % RETRY_SECONDS))


SANDBOX: Final = Answer(200)
INVALID_GRANT: Final = mail_error(401, [Problem("The provided authorization grant is invalid, expired, or revoked")])
WRONG_CREDENTIALS: Final = mail_error(401, [Problem("Permission denied, wrong credentials")])
CREDITS_EXCEEDED: Final = mail_error(401, [Problem("Maximum credits exceeded")])
MAIL_FORBIDDEN: Final = mail_error(403, [Problem("access forbidden")])
UNVERIFIED_SENDER: Final = mail_error(
    403,
    [
        Problem(
            "The from address does not match a verified Sender Identity. Mail cannot be sent until this error is resolved. Visit "
            "https://sendgrid.com/docs/for-developers/sending-email/sender-identity/ to see the Sender Identity requirements",
            "from",
        )
    ],
)
POST_ONLY: Final = mail_error(405, [Problem("POST method allowed only")], (b"allow", b"POST"))
TOO_LARGE: Final = mail_error(413, [Problem("content too large")])
NOT_JSON: Final = mail_error(415, [Problem("Content-Type should be application/json.")])
UNAVAILABLE: Final = unavailable()
TIMED_OUT: Final = mail_error(408, [Problem("Request Timeout")], (b"connection", b"close"))
KEY_MALFORMED: Final = mail_error(400, [Problem("The Idempotency-Key must be 1 to 255 printable ASCII characters.")])
KEY_IN_USE: Final = mail_error(
    409, [Problem("A request with this Idempotency-Key is still running.")], (b"retry-after", b"%d" % RETRY_SECONDS)
)
KEY_OF_OTHER_BODY: Final = mail_error(422, [Problem("This Idempotency-Key was used with another request body.")])

AUTHORIZATION_REQUIRED: Final = error(401, "authorization required")
FORBIDDEN: Final = error(403, "access forbidden")
NOT_FOUND: Final = error(404, "not found")
INTERNAL: Final = error(500, "internal server error")
