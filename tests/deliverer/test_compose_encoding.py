import quopri
import random
import timeit
from base64 import b64decode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.deliverer.mails import bodies, has_bare_cr_or_lf, lf

from scaisend_deliverer.transfer_encoding import BASE64, QUOTED_PRINTABLE, SEVEN_BIT, encode_base64, encode_text, fits_as_it_is


def decoded(encoding: bytes, content: bytes) -> str:
    match encoding:
        case b"base64":
            content = b64decode(content)
        case b"quoted-printable":
            content = quopri.decodestring(content)
    return content.decode().replace("\r\n", "\n")


@given(bodies)
@example("From here\nFrom there")
@example("x" * 75 + "\nFrom " + "y" * 100)
@example("a \nb\t\n ")
@example("." * 200)
@example("=" * 200)
@example("\ta" * 200)
def test_a_text_survives_but_for_its_line_ends(text: str) -> None:
    assert decoded(*encode_text(text)) == lf(text)


@given(bodies)
@example("a \nb\t\nä ")
@example("ä" + " " * 200)
@example("x" * 74 + "ä \n")
@example("a" * 901)
@example("ä\nFrom " + "y" * 69)
@example("ä\nFrom " + "y" * 70)
@example("ä\nFrom " + "y" * 71)
@example("ä\nFrom " + "From " * 30)
def test_an_encoded_text_is_seven_bit_in_lines_that_travel(text: str) -> None:
    encoding, content = encode_text(text)
    assert content.isascii()
    assert b"\0" not in content
    assert not has_bare_cr_or_lf(content)
    for line in content.split(b"\r\n"):
        assert len(line) <= (900 if encoding == SEVEN_BIT else 76)
        assert encoding == SEVEN_BIT or not line.endswith((b" ", b"\t"))
        assert not line.startswith(b"From ")  # mbox files take it for the next mail


@given(
    st.text(st.characters(min_codepoint=1, max_codepoint=127, exclude_characters="\r\n"), max_size=70).filter(
        lambda text: text[:5] != "From "
    )
)
def test_short_ascii_needs_no_encoding(text: str) -> None:
    assert encode_text(text) == (SEVEN_BIT, text.encode())


def test_the_encoding_fits_the_text() -> None:
    assert encode_text("Grüße aus Köln, und noch etwas mehr Text dazu")[0] == QUOTED_PRINTABLE
    assert encode_text("Привет, как дела?")[0] == BASE64
    assert encode_text("こんにちは")[0] == BASE64
    assert encode_text("<p>" + "long line of HTML" * 50)[0] == SEVEN_BIT
    assert encode_text("<p>" + "longer line of HTML" * 50)[0] == QUOTED_PRINTABLE
    assert encode_text("From me\n")[1] == b"=46rom me\r\n"
    assert encode_text("a\0b")[1] == b"a=00b"
    assert encode_text("lone \ud800 surrogate")[1] == b"lone ? surrogate"


@given(st.binary(max_size=400) | st.integers(0, 300).map(bytes))
def test_base64_survives_in_lines_of_76(raw: bytes) -> None:
    encoded = encode_base64(raw)
    assert b64decode(encoded) == raw
    assert all(len(line) <= 76 for line in encoded.split(b"\r\n"))
    assert all(len(line) == 76 for line in encoded.split(b"\r\n")[:-1])


@pytest.mark.parametrize("size", [57 * 1024 - 1, 57 * 1024, 57 * 1024 + 1, 3 * 57 * 1024])
def test_base64_is_the_same_across_its_blocks(size: int) -> None:
    raw = random.Random(size).randbytes(size)
    assert b64decode(encode_base64(raw)) == raw
    assert {len(line) for line in encode_base64(raw).split(b"\r\n")[:-1]} == {76}


def test_twenty_two_megabytes_are_encoded_at_once() -> None:
    raw = random.Random(1).randbytes(22_000_000)
    encoded = encode_base64(raw)
    assert b64decode(encoded) == raw
    assert timeit.timeit(lambda: encode_base64(raw), number=1) < 2


@given(st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b"a", b"\0", b"\xe4", b"x" * 500]), max_size=8).map(b"".join), st.booleans())
def test_only_what_smtp_carries_travels_as_it_is(raw: bytes, eight_bit: bool) -> None:
    fits = (
        not has_bare_cr_or_lf(raw)
        and b"\0" not in raw
        and all(len(line) <= 998 for line in raw.split(b"\r\n"))
        and (eight_bit or raw.isascii())
    )
    assert fits_as_it_is(raw, eight_bit=eight_bit) is fits


def test_hostile_text_takes_no_long_time() -> None:
    hostile = ["\n" * 10**6, " " * 10**6, "\r" * 10**6, "From \n" * 10**5, "ä" * 10**6, "=" * 10**6]
    assert timeit.timeit(lambda: [encode_text(text) for text in hostile], number=1) < 2
