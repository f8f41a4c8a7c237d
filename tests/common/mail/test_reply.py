import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.mail.reply import Malformed, Reply, is_last_line, parse_reply

codes = st.integers(200, 599)
words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=10).filter(lambda word: not word[0].isdigit())
texts = st.lists(words, max_size=5).map(" ".join)
line_ends = st.sampled_from([b"\r\n", b"\n", b""])


def lines_of(code: int, said: list[str], end: bytes) -> list[bytes]:
    return [f"{code}{'-' if text is not said[-1] or n < len(said) - 1 else ' '}{text}".encode() + end for n, text in enumerate(said)]


@given(codes, st.lists(texts, min_size=1, max_size=5), line_ends)
def test_a_reply_of_many_lines_is_one_text(code: int, said: list[str], end: bytes) -> None:
    assert parse_reply(lines_of(code, said, end)) == Reply(code, "", " ".join(filter(None, said)))


@given(codes, st.integers(2, 5), st.integers(0, 999), st.integers(0, 999), texts)
def test_an_enhanced_code_counts_only_where_its_class_is_the_replys(code: int, kind: int, subject: int, detail: int, text: str) -> None:
    enhanced = f"{kind}.{subject}.{detail}"
    reply = parse_reply([f"{code} {enhanced} {text}".encode()])
    assert isinstance(reply, Reply)
    if kind == code // 100 and kind != 3:
        assert (reply.enhanced, reply.text) == (enhanced, text)
    else:
        assert (reply.enhanced, reply.text) == ("", f"{enhanced} {text}".strip())


@given(st.lists(st.binary(max_size=40), max_size=4))
def test_whatever_a_server_says_is_a_reply_or_malformed_and_can_be_stored(lines: list[bytes]) -> None:
    match parse_reply(lines):
        case Reply(code=code, text=text):
            assert 200 <= code <= 599
            assert all(line[:1] == str(code)[:1].encode() for line in lines)
        case Malformed(raw=text):
            pass
    assert not any(ord(character) < 32 and character != "\t" for character in text)
    text.encode()


@pytest.mark.parametrize(
    "lines",
    [
        [], [b""], [b"999 what"], [b"199 low"], [b"600 high"], [b"2500 ok"], [b"25"], [b"abc"], [b"250-not the end"], [b"250 end", b"250 more"],
        [b"250-ok", b"550 no"], [b"250_ok"], [b" 250 ok"], [b"\xb2\xb5\xb0 superscript"], [b"250-ok", b"and then some"],
    ],
)  # fmt: skip
def test_what_is_no_reply_is_malformed(lines: list[bytes]) -> None:
    assert isinstance(parse_reply(lines), Malformed)


@pytest.mark.parametrize(
    ("lines", "reply"),
    [
        ([b"250"], Reply(250, "", "")),
        ([b"250 "], Reply(250, "", "")),
        ([b"354 go ahead\r\n"], Reply(354, "", "go ahead")),
        ([b"250 2.0.0 Ok: queued as 4F\r\n"], Reply(250, "2.0.0", "Ok: queued as 4F")),
        ([b"250 5.1.1 Ok"], Reply(250, "", "5.1.1 Ok")),
        (
            [b"550-5.1.1 no such user\r\n", b"550-5.1.1 try again\r\n", b"550 5.1.1 bye - gsmtp\r\n"],
            Reply(550, "5.1.1", "no such user try again bye - gsmtp"),
        ),
        ([b"450-4.2.0 wait", b"451 4.7.1 a bit"], Reply(451, "4.2.0", "wait 4.7.1 a bit")),
        ([b"550 5.1.1"], Reply(550, "5.1.1", "")),
        ([b"550 5.1.1234 odd"], Reply(550, "", "5.1.1234 odd")),
        ([b"550 5.1.1, odd"], Reply(550, "", "5.1.1, odd")),
        ([b"550 Empf\xe4nger unbekannt"], Reply(550, "", "Empfänger unbekannt")),
        ([b"550 Empf\xc3\xa4nger unbekannt"], Reply(550, "", "Empfänger unbekannt")),
        ([b"550 nul\0bell\x07"], Reply(550, "", "nul\\x00bell\\x07")),
        ([b"550\ttabbed"], Reply(550, "", "tabbed")),
    ],
)
def test_replies_as_they_are_found(lines: list[bytes], reply: Reply) -> None:
    assert parse_reply(lines) == reply


def test_a_reply_shows_as_it_was_said() -> None:
    assert str(Reply(550, "5.1.1", "no such user")) == "550 5.1.1 no such user"
    assert str(Reply(250, "", "")) == "250"


@given(st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")), min_size=1, max_size=8))
def test_a_malformed_line_ends_a_reply_so_nobody_waits_for_more(lines: list[bytes]) -> None:
    read: list[bytes] = []
    for line in lines:
        read.append(line)
        if is_last_line(line):
            break
    else:
        return
    assert all(not is_last_line(line) for line in read[:-1])
    assert is_last_line(b"")
    assert is_last_line(b"250 ok")
    assert not is_last_line(b"250-more")
