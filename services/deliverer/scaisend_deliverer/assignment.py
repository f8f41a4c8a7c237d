"""Which deliverer should work which shard: rendezvous hashing over the living members of a group. Pure.

Each computes the same from the same members, and when one comes or goes, few shards move but its own. To keep the load even, nobody gets
more than its share: a shard goes to the first of its ranking who has room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from hashlib import blake2b


def assign(members: Collection[str], group: str, shards: int) -> dict[int, str]:
    """Return the member that should work each shard; empty without members."""
    if not members:
        return {}
    most = -(-shards // len(set(members)))
    load: Counter[str] = Counter()
    assigned: dict[int, str] = {}
    for shard in range(shards):
        for member in sorted(set(members), key=lambda each: _weight(each, group, shard), reverse=True):
            if load[member] < most:
                assigned[shard] = member
                load[member] += 1
                break
    return assigned


def _weight(member: str, group: str, shard: int) -> bytes:
    return blake2b(f"{member}|{group}|{shard}".encode(), digest_size=8).digest()
