from __future__ import annotations

import asyncio

from hypothesis import example, given
from hypothesis import strategies as st

from scaisend_bounce_inbound.beginning import Beginning

LIMIT = 16  # of a line, as a reader has one
lines = st.lists(st.binary(max_size=2 * LIMIT).map(lambda text: text.replace(b"\r", b"").replace(b"\n", b"")) | st.just(b"."), max_size=30)


async def read_to_dot(wire: bytes, kept: int) -> tuple[list[bytes], int, bytes]:
    """Read as aiosmtpd does; return the pieces, the size that was counted, and what is left for the next command."""
    reader = asyncio.StreamReader(limit=LIMIT)
    reader.feed_data(wire)
    reader.feed_eof()
    beginning, pieces, inside = Beginning(reader, kept), [], False
    while True:
        try:
            piece = await beginning.readuntil(b"\r\n")
        except asyncio.LimitOverrunError as overrun:
            piece = await beginning.read(overrun.consumed)
        pieces.append(piece)
        if piece == b".\r\n" and not inside:
            return pieces, beginning.size, await reader.read()
        inside = not piece.endswith(b"\r\n")


@given(lines, st.integers(0, 400))
@example([b"x" * (LIMIT + 1)], 0)
def test_a_mail_is_read_to_its_dot_and_no_further_and_its_beginning_is_kept(texts: list[bytes], kept: int) -> None:
    mail = b"".join((b"." + text if text.startswith(b".") else text) + b"\r\n" for text in texts) + b".\r\n"
    pieces, size, left = asyncio.run(read_to_dot(mail + b"QUIT\r\n", kept))
    assert (size, left) == (len(mail), b"QUIT\r\n")
    if all(len(text) < LIMIT for text in texts):  # of a longer one aiosmtpd keeps nothing, it only looks for its end
        beginning = b"".join(pieces[:-1])
        assert mail.startswith(beginning)
        assert len(beginning) <= kept
        assert len(mail) > kept or beginning + pieces[-1] == mail
