"""Who should work which shard."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from scaisend_deliverer.assignment import assign

members = st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=6)
shards = st.integers(1, 64)


@given(members, shards)
def test_each_shard_has_one_member_whatever_their_order(living: set[str], count: int) -> None:
    assigned = assign(living, "default", count)
    assert sorted(assigned) == list(range(count))
    assert set(assigned.values()) <= living
    assert assign(sorted(living, reverse=True), "default", count) == assigned


@given(members, shards)
def test_nobody_has_more_than_a_share(living: set[str], count: int) -> None:
    load = Counter(assign(living, "default", count).values())
    assert max(load.values()) <= -(-count // len(living))


@given(st.text(min_size=1, max_size=8), shards)
def test_a_member_alone_has_all(member: str, count: int) -> None:
    assert set(assign([member], "default", count).values()) == {member}


def test_without_members_nobody_has_anything() -> None:
    assert assign([], "default", 8) == {}


@given(members, st.text(min_size=9, max_size=9))
def test_a_newcomer_leaves_most_where_they_are(living: set[str], newcomer: str) -> None:
    before, after = assign(living, "default", 64), assign([*living, newcomer], "default", 64)
    moved_between_others = [shard for shard in before if before[shard] != after[shard] != newcomer]
    assert len(moved_between_others) <= 64 // 4
