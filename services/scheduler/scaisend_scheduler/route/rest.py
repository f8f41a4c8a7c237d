"""How bulk gives way. Pure.

A flight of a hundred jobs holds the broker and the loop up for all others, and beyond what deliverers can send it only makes their queues
longer. So bulk is routed one load at a time, with rests in which others find both idle.
"""

from __future__ import annotations

SHARE = 3.0  # rest for each second of work on a full load; a smaller one holds up less
LONGEST = 0.1  # seconds: what took longer waited for DNS or Postgres and held up nobody


def rest_seconds(deliveries: int, most: int, seconds: float) -> float:
    """Return for how long bulk rests after a load of so many `deliveries` of at most `most`, routed in so many `seconds`."""
    return min(LONGEST, SHARE * max(0.0, seconds) * deliveries / most)
