"""Pace and pauses."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.mail.reply import Reply
from scaisend_common.mail.verdict import Deferred, Delivered, Unknown
from scaisend_deliverer.throttle import FIRST_PAUSE, LONGEST_PAUSE, Pace, Pause, usable_connections

limits = st.integers(1, 100)
jitters = st.floats(0, 1, exclude_max=True)
WORDS = st.sampled_from(["taken", "refused for now", "asked for less", "in doubt", "not reached"])


@given(limits, st.lists(WORDS))
def test_a_pace_stays_between_one_and_its_limit(limit: int, story: list[str]) -> None:
    pace = Pace(limit)
    for word in story:
        match word:
            case "taken":
                pace = pace.after(Delivered(Reply(250, "", "")))
            case "refused for now":
                pace = pace.after(Deferred("", Reply(451, "", "")))
            case "asked for less":
                pace = pace.after(Deferred("", Reply(421, "", "")))
            case "in doubt":
                pace = pace.after(Unknown(""))
            case _:
                pace = pace.stopped()
        assert 1 <= pace.allowed <= limit


def test_a_path_begins_with_one_connection_and_doubles() -> None:
    paces = [Pace(20)]
    for _ in range(6):
        paces.append(paces[-1].after(Delivered(Reply(250, "", ""))))
    assert [pace.allowed for pace in paces] == [1, 2, 4, 8, 16, 20, 20]
    assert paces[-1].after(Deferred("", Reply(421, "", ""))).allowed == 10
    assert paces[-1].stopped().allowed == 1


@given(limits, limits)
def test_an_owner_and_its_successor_together_keep_the_limit(limit: int, allowed: int) -> None:
    before = usable_connections(limit, is_takeover=False, allowed=min(limit, allowed))
    after = usable_connections(limit, is_takeover=True, allowed=min(limit, allowed))
    assert before + after <= limit
    assert before >= 1


@given(st.lists(jitters, min_size=1, max_size=30))
def test_pauses_grow_up_to_their_longest(draws: list[float]) -> None:
    now, pause, lengths = 1000.0, Pause(), []
    for jitter in draws:
        pause = pause.after_failure(now, jitter)
        lengths.append(pause.until - now)
        assert not pause.is_over(now)
        assert pause.is_over(pause.until)
        now = pause.until
    assert all(0.7499 * FIRST_PAUSE <= length <= 1.2501 * LONGEST_PAUSE for length in lengths)
    assert lengths[-1] >= 0.7499 * min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (len(draws) - 1))


@given(jitters)
def test_those_who_fail_together_count_once(jitter: float) -> None:
    first = Pause().after_failure(1000.0, jitter)
    assert first.after_failure(1000.1, jitter) == first
