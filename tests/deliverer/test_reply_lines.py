"""Replies in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaisend_deliverer.reply_lines import MAX_LINE, MAX_REPLY, ReplyLines, TooLong

texts = st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b"").replace(b"\r", b""))
replies = st.lists(
    st.tuples(st.sampled_from([b"250", b"354", b"451", b"550"]), st.lists(texts, max_size=3), texts).map(
        lambda parts: (*(parts[0] + b"-" + text for text in parts[1]), parts[0] + b" " + parts[2])
    ),
    max_size=8,
)


@given(replies, st.sampled_from([b"\r\n", b"\n"]), st.data())
def test_replies_are_the_same_in_whatever_pieces_they_come(sent: list[tuple[bytes, ...]], end: bytes, data: st.DataObject) -> None:
    stream = b"".join(line + end for reply in sent for line in reply)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    reader, got = ReplyLines(), []
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += reader.feed(stream[start:stop])
    assert got == sent
    assert not reader.discard()


@pytest.mark.parametrize("flood", [b"250 " + b"x" * (MAX_LINE + 1), b"250-more\r\n" * (MAX_REPLY // 10 + 1)])
def test_what_is_too_long_is_not_kept(flood: bytes) -> None:
    with pytest.raises(TooLong):
        feed_slowly(ReplyLines(), flood)


def feed_slowly(reader: ReplyLines, flood: bytes) -> None:
    for start in range(0, len(flood), 1000):
        reader.feed(flood[start : start + 1000])


def test_a_long_line_within_reason_is_accepted() -> None:
    line = b"250 " + b"x" * 2000
    assert ReplyLines().feed(line + b"\r\n") == [(line,)]
