"""The submissions of the last seconds: ours, though nothing of them may be recorded yet."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from scaisend_common.mail.ids import SubmissionId

SECONDS = 10.0


class Recent:
    """Remembers ids for 10 to 20 s, by whose they are."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._turned_at = now()
        self._young: dict[SubmissionId, str] = {}
        self._old: dict[SubmissionId, str] = {}

    def add(self, submission: SubmissionId, tenant_id: str) -> None:
        """Remember a submission."""
        now = self._now()
        if now - self._turned_at > SECONDS:
            self._old, self._young, self._turned_at = self._young, {}, now
        self._young[submission] = tenant_id

    def is_of(self, submission: SubmissionId, tenant_id: str) -> bool:
        """Tell whether this tenant's submission was accepted here just now."""
        return tenant_id in (self._young.get(submission), self._old.get(submission))
