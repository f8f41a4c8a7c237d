"""What is kept in memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scaisend_deliverer.kept import Kept


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 60), st.booleans()), max_size=60))
def test_no_more_is_kept_than_allowed_and_the_last_used_stay(story: list[tuple[int, int, bool]]) -> None:
    kept: Kept[int, int] = Kept(100)
    sizes: dict[int, int] = {}  # in the order of use
    for key, size, is_put in story:
        if is_put:
            kept.put(key, size, size)
            sizes.pop(key, None)
            sizes[key] = size
            while sum(sizes.values()) > 100:
                del sizes[next(iter(sizes))]
        elif kept.get(key) is not None:
            sizes[key] = sizes.pop(key)
        assert kept.size == sum(sizes.values()) <= 100
    assert all(kept.get(key) == size for key, size in sizes.items())


def test_what_is_larger_than_all_is_not_kept() -> None:
    kept: Kept[str, str] = Kept(10)
    kept.put("small", "s", 5)
    kept.put("large", "l", 11)
    assert kept.get("large") is None
    assert kept.get("small") == "s"
