"""A caller's mistake, as the answer to mail/send lists it: what is wrong, where, and the page that explains it."""

from __future__ import annotations

from typing import NamedTuple

ERRORS_PAGE = "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html#"  # clients show it, some match on it
SHOWN = 1000  # characters of what the caller gave that an answer repeats


class Problem(NamedTuple):
    """One entry of `errors`, its keys in the order in which they are written. None is written as null."""

    message: str
    field: str | None = None
    help: str | None = None


class Rule(NamedTuple):
    """A rule of a request: the anchor of its help page and the words that say it was broken, with places for values."""

    anchor: str
    words: str

    def broken(self, field: str, *values: object, anchor: str | None = None) -> Problem:
        """Return the problem of the rule being broken at `field`, a dotted path with indexes."""
        words = self.words.format(*(str(value)[:SHOWN] for value in values)) if values else self.words
        return Problem(words, field, ERRORS_PAGE + (anchor or self.anchor))


BAD_REQUEST = Problem("Bad Request")  # a body that cannot be read, or a wrong type that SendGrid does not locate
INVALID_UTF8 = Problem("Invalid UTF8 in request", "Encoding")
