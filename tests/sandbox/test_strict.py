from hypothesis import given
from hypothesis import strategies as st

from sandbox.strict import LONGEST_LINE, fault, unstuff

octets = st.binary(max_size=60).map(lambda line: line.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b""))
lines = st.lists(st.one_of(octets, octets.map(b".".__add__)), max_size=12)


def stuffed(content: list[bytes]) -> bytes:
    return b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in content)


@given(lines)
def test_what_a_careful_client_sends_comes_out_as_it_was(content: list[bytes]) -> None:
    wire = stuffed(content)
    assert fault(wire, eight_bit=True, smtputf8=True) is None
    assert unstuff(wire) == b"".join(line + b"\r\n" for line in content)


@given(lines, st.sampled_from([b"\n", b"\r", b"\n.\r\n", b"\r\n.\n", b"\n.\n", b"\r.\r", b"\0"]), st.data())
def test_a_bare_cr_or_lf_or_a_nul_is_found_anywhere(content: list[bytes], smuggled: bytes, data: st.DataObject) -> None:
    wire = stuffed([b"begin", *content, b"end"])
    at = data.draw(
        st.sampled_from([i for i in range(1, len(wire)) if b"\r" not in wire[i - 1 : i + 1] and b"\n" not in wire[i - 1 : i + 1]])
    )
    assert fault(wire[:at] + smuggled + wire[at:], eight_bit=True, smtputf8=True)


@given(lines)
def test_a_dot_that_was_not_doubled_is_found(content: list[bytes]) -> None:
    assert fault(stuffed(content) + b".signature\r\n", eight_bit=True, smtputf8=True)


def test_8_bit_content_must_have_been_announced() -> None:
    body = b"Subject: x\r\n\r\n\xc3\xa9\r\n"
    header = b"Subject: \xc3\xa9\r\n\r\nx\r\n"
    assert fault(body, eight_bit=True, smtputf8=False) is None
    assert fault(body, eight_bit=False, smtputf8=False)
    assert fault(header, eight_bit=True, smtputf8=False)
    assert fault(header, eight_bit=True, smtputf8=True) is None


def test_998_octets_are_a_line_and_999_are_not() -> None:
    assert fault(b"a" * LONGEST_LINE + b"\r\n", eight_bit=False, smtputf8=False) is None
    assert fault(b"a" * (LONGEST_LINE + 1) + b"\r\n", eight_bit=False, smtputf8=False)
    assert fault(b".." + b"a" * (LONGEST_LINE - 1) + b"\r\n", eight_bit=False, smtputf8=False) is None
