import timeit

from hypothesis import given
from hypothesis import strategies as st

from scaisend_deliverer.substitution import substitute

small = st.text("ab-", max_size=12)


@given(small, st.dictionaries(small, small, max_size=4))
def test_no_key_that_was_in_the_text_stays_unless_a_longer_one_took_it_or_values_bring_it(text: str, values: dict[str, str]) -> None:
    marked = dict.fromkeys(values, "x")
    assert not any(key in substitute(text, marked) for key in values if key)


@given(small, st.dictionaries(small, small, max_size=4))
def test_the_order_of_keys_changes_nothing(text: str, values: dict[str, str]) -> None:
    assert substitute(text, values) == substitute(text, dict(reversed(values.items())))


@given(small, small.filter(bool), small)
def test_one_key_is_a_plain_replacement(text: str, key: str, value: str) -> None:
    assert substitute(text, {key: value}) == text.replace(key, value)


def test_a_value_is_never_searched_for_keys() -> None:
    assert substitute("a b", {"a": "b", "b": "a"}) == "b a"
    assert substitute("-na-me-", {"-me-": "x", "-na": "-", "-name-": "y"}) == "-x"


def test_longer_keys_go_first_and_an_empty_one_never() -> None:
    assert substitute("-name--", {"-name-": "1", "-name--": "2", "": "3"}) == "2"


def test_keys_are_text_and_no_patterns() -> None:
    assert substitute("a.c abc {{x}} \\1", {"a.c": "\\1", "{{x}}": "$0"}) == "\\1 abc $0 \\1"


def test_many_keys_in_a_long_text_take_no_long_time() -> None:
    values = {f"-key{n}-": f"value {n}" for n in range(150)}
    text = " ".join(values) * 10
    assert timeit.timeit(lambda: substitute(text, values), number=1) < 1
