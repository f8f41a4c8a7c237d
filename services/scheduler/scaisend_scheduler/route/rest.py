"""How bulk gives way. Pure.

A flight of a hundred jobs holds the broker and the loop up for all others, and beyond what deliverers can send it only makes their queues
longer. So while there is transactional mail, bulk is routed one load at a time, with rests in which others find both idle.
"""

from __future__ import annotations

SHARE = 3.0  # rest for each second of work on a full load; a smaller one holds up less
HEEDED = 2.0  # seconds after transactional mail for which more of it is expected
LONGEST = 0.05  # seconds: a thousand deliveries a second go on however slow broker and Postgres are; what took long waited for DNS


def rest_seconds(deliveries: int, most: int, seconds: float, since: float) -> float:
    """Return for how long bulk rests after a load of so many `deliveries` of at most `most`, routed in so many `seconds`.

    `since`: seconds from the last transactional mail until now.
    """
    if since > HEEDED:
        return 0.0
    return min(LONGEST, SHARE * max(0.0, seconds) * deliveries / most)
