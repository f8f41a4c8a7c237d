"""Which deliveries of one channel to acknowledge, and how: a finished run as one, the rest one by one. Pure."""

from __future__ import annotations


class Acks:
    """Delivery tags count from 1. What was requeued is settled, so a run goes on across it.

    The broker refuses a tag that it does not hold unsettled, and closes the channel; so every tag is named once, and a `multiple` names
    one that was not named before.
    """

    def __init__(self) -> None:
        self._floor = 0  # this and all before are settled, and the broker knows
        self._told: set[int] = set()  # beyond the floor, settled, and the broker knows
        self._finished: set[int] = set()  # beyond the floor, to be acknowledged

    def finish(self, tag: int) -> bool:
        """The delivery is done with; True when it is the first since the last `take`."""
        self._finished.add(tag)
        return len(self._finished) == 1

    def requeued(self, tag: int) -> None:
        """The delivery was given back to the broker, who knows already."""
        self._told.add(tag)

    def take(self) -> list[tuple[int, bool]]:
        """Return what to acknowledge now, as (tag, multiple)."""
        finished, told, top = self._finished, self._told, self._floor
        run = last = 0
        while True:
            if top + 1 in finished:
                finished.remove(top + 1)
                run, last = run + 1, top + 1
            elif top + 1 in told:
                told.remove(top + 1)
            else:
                break
            top += 1
        self._floor = top
        acks = [(last, run > 1)] if run else []
        acks += ((tag, False) for tag in sorted(finished))
        told |= finished
        finished.clear()
        return acks
