"""A job in this process: it waits, is worked on, and comes to one of two ends."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum

from scaisend_common.messages import Job
from scaisend_deliverer.transaction import Transaction


class End(Enum):
    """`DONE`: all that follows is confirmed elsewhere. `PUT_BACK`: nothing was done; whoever works its shard next shall."""

    DONE = "done"
    PUT_BACK = "put_back"


@dataclass(slots=True, eq=False)
class Waiting:
    """`repeat`: somebody may have had this attempt before. `since` in loop time. `end` is what its message waits for."""

    job: Job
    queue: str
    repeat: bool
    since: float
    end: asyncio.Future[End]
    task: asyncio.Task[None] | None = None
    transaction: Transaction | None = None
    began_at: float = 0.0  # loop time
    is_ahead: bool = False  # it began beside the turns
    is_ending: bool = False  # its attempt was made: what follows must be written

    def finish(self, end: End) -> None:
        """Come to an end."""
        if not self.end.done():
            self.end.set_result(end)

    def recall(self) -> None:
        """Take it back, unless its mail may have arrived by now."""
        if self.is_ending:
            return
        if self.transaction is not None:
            self.transaction.recall()
        elif self.task is not None:
            self.task.cancel()
