from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from sandbox.scripts import GREYLIST, LONGEST, Aftermath, Refuse, Take, act

NOW = timedelta(0)
tags = st.one_of(st.just(""), st.text().map("+{}".format))
counts = st.integers(min_value=0, max_value=10_000)
ages = st.timedeltas(min_value=NOW, max_value=timedelta(days=1))


@given(st.sampled_from([("bounce", "550 5.1.1"), ("full", "552 5.2.2"), ("block", "554 5.7.1")]), tags, counts, ages)
def test_what_is_refused_is_refused_always(script: tuple[str, str], tag: str, seen: int, age: timedelta) -> None:
    local, reply = script
    action = act(local + tag, seen, age)
    assert isinstance(action, Refuse)
    assert action.reply.startswith(reply)


@given(st.integers(0, 1000), tags, counts, ages)
def test_defer_n_refuses_exactly_the_first_n(n: int, tag: str, seen: int, age: timedelta) -> None:
    action = act(f"defer-{n}{tag}", seen, age)
    assert (action == Take()) == (seen >= n)
    assert isinstance(action, Take) or action.reply.startswith("451 4.")


@given(tags, counts, ages)
def test_greylisting_takes_nothing_at_first_sight_and_all_after_its_time(tag: str, seen: int, age: timedelta) -> None:
    action = act(f"greylist{tag}", seen, age)
    assert (action == Take()) == (seen > 0 and age >= GREYLIST)


@given(st.floats(0, 1e6).map(lambda seconds: f"{seconds:.3f}"), tags)
def test_slow_waits_as_long_as_it_says_up_to_a_bound(seconds: str, tag: str) -> None:
    action = act(f"slow-{seconds}{tag}", 0, NOW)
    assert isinstance(action, Take)
    assert action.wait == min(timedelta(seconds=float(seconds)), LONGEST)


@given(st.text(), counts, ages)
def test_any_local_part_gets_an_action_and_its_case_does_not_matter(local: str, seen: int, age: timedelta) -> None:
    action = act(local, seen, age)
    assert isinstance(action, Take) or action.reply[0] in "45"
    if local.isascii():
        assert act(local.upper(), seen, age) == action


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789."), tags, counts, ages)
def test_whatever_begins_with_ok_is_taken(rest: str, tag: str, seen: int, age: timedelta) -> None:
    assert act(f"ok{rest}{tag}", seen, age) == Take()


def test_what_follows_is_scripted_too() -> None:
    assert act("asyncbounce", 0, NOW) == Take(Aftermath.BOUNCE)
    assert act("Complain+x", 3, NOW) == Take(Aftermath.COMPLAINT)
    assert act("drop", 0, NOW) == Take(Aftermath.DROP)
