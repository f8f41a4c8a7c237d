"""Keys that occur twice, found with long texts left out as without."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st

from scaisend_api.double_keys import LONG, _without, has_double_keys

LONG_TEXT = "x" * LONG
texts = st.sampled_from(
    ["", "a", "b", '"', "\\", ":", ", ", '{"a":', LONG_TEXT, LONG_TEXT + "y", '"' + LONG_TEXT, LONG_TEXT + '"', "," * LONG]
)


class Pairs(list[tuple[str, object]]):
    """An object as it is written: keys may occur twice."""

    def repeats(self) -> bool:
        return len(dict(self)) < len(self) or any(isinstance(value, Pairs) and value.repeats() for _, value in self)

    def written(self, gap: str) -> str:
        return "{" + ",".join(f"{json.dumps(key)}{gap}:{gap}{written(value, gap)}{gap}" for key, value in self) + "}"


def written(value: object, gap: str) -> str:
    return value.written(gap) if isinstance(value, Pairs) else json.dumps(value)


objects = st.recursive(texts, lambda inner: st.lists(st.tuples(texts, inner), max_size=5).map(Pairs), max_leaves=12)


@given(st.lists(st.tuples(texts, objects), max_size=5).map(Pairs), st.lists(texts, max_size=4), st.sampled_from(["", " ", "\n"]))
@example(Pairs([(LONG_TEXT, "a"), (LONG_TEXT, "b"), ("c", LONG_TEXT)]), [LONG_TEXT], "")
@example(Pairs([(LONG_TEXT, LONG_TEXT), (LONG_TEXT, LONG_TEXT)]), [LONG_TEXT, LONG_TEXT], " ")
@example(Pairs([('"' + LONG_TEXT, "a"), ('"' + LONG_TEXT, "b")]), [LONG_TEXT], "")
def test_keys_that_occur_twice_are_found_whatever_texts_are_left_out(request: Pairs, left_out: list[str], gap: str) -> None:
    body = request.written(gap).encode()
    assert has_double_keys(body, [json.dumps(text).encode() for text in left_out]) == request.repeats()


def test_texts_are_left_out_however_the_request_is_indented() -> None:
    texts = [f"{n}{LONG_TEXT}" for n in range(3)]
    body = json.dumps({"content": [{"value": text} for text in texts]}, indent=2).encode()
    assert len(_without(body, [json.dumps(text).encode() for text in texts])) < LONG


def test_the_first_text_that_is_not_found_ends_the_search() -> None:
    text = json.dumps(LONG_TEXT).encode()
    body = b'{"a":' + text + b"}"
    assert _without(body, [b'"elsewhere' + text[1:], text]) == body


def test_what_is_between_two_strings_is_no_text() -> None:
    between = '"' + ":" + " " * LONG + '"'
    assert not has_double_keys(f'{{"a{between}b","c":1}}'.encode(), [between.encode()])
    assert has_double_keys(f'{{"a{between}b","a":1}}'.encode(), [between.encode()])
    assert not has_double_keys(f'{{"a{between},b","c":1}}'.encode(), [between.encode()])  # what is left is no JSON: all of it is read
    assert has_double_keys(f'{{"a{between},b","a":1}}'.encode(), [between.encode()])
