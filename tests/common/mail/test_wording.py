import timeit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaisend_common.mail.wording import Reading, reading

SAID = {
    Reading.GONE: [
        "User unknown in virtual mailbox table",
        "<jo@example.org>: Recipient address rejected: User unknown in local recipient table",
        "The email account that you tried to reach does not exist. Please try double-checking the recipient's email address",
        "Requested action not taken: mailbox unavailable",
        "No such user here",
        "sorry, no mailbox here by that name. (#5.1.1)",
        "Mailbox not found",
        "Unrouteable address",
        "Recipient address rejected: Access denied. AS(201806281) [host]",
        "Not our Customer",
        "Empfänger unbekannt",
        "Utilisateur inconnu",
        "this account no longer exists",
        "Invalid recipient",
        "dd This user doesn't have a yahoo.com account (jo@yahoo.com) [-9]",
        "That address is not valid",
    ],
    Reading.FULL: [
        "The email account that you tried to reach is over quota and inactive",
        "Mailbox full",
        "user's mailbox quota exceeded",
        "The recipient's inbox is out of storage space",
        "Insufficient system storage",
        "mailbox size limit exceeded",
    ],
    Reading.DISABLED: [
        "The email account that you tried to reach is disabled. Learn more",
        "This mailbox is disabled (554.30).",
        "account is not active",
        "Inactive user",
    ],
    Reading.RATE: [
        "The user you are trying to contact is receiving mail at a rate that prevents additional messages from being delivered",
        "[TSS04] Messages from 198.51.100.1 temporarily deferred due to unexpected volume or user complaints",
        "Our system has detected an unusual rate of unsolicited mail originating from your IP address",
        "Too many connections from your host",
        "Your server is rate limited",
    ],
    Reading.AUTHENTICATION: [
        "Unauthenticated email from example.com is not accepted due to domain's DMARC policy",
        "SPF check failed",
        "cannot find your hostname, [198.51.100.1]",
        "Sender address rejected: Domain not found",
        "The IP address sending this message does not have a PTR record",
    ],
    Reading.REPUTATION: [
        "Service unavailable; Client host [198.51.100.1] blocked using zen.spamhaus.org",
        "Messages from [198.51.100.1] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3150)",
        "Email not accepted for policy reasons",
        "Your IP has a poor reputation",
        "Client host rejected: user unknown here is what you are",
    ],
    Reading.CONTENT: [
        "Message rejected as spam by Content Filtering.",
        "Our system detected an illegal attachment on your message",
        "Virus found",
    ],
    Reading.SIZE: ["Message size exceeds fixed maximum message size", "Message too large"],
    Reading.TECHNICAL: ["Relay access denied", "mail loop detected", "Error: bad sequence of commands", "connection timed out", "no route to host"],
}  # fmt: skip


@pytest.mark.parametrize(("meaning", "text"), [(meaning, text) for meaning, texts in SAID.items() for text in texts])
def test_what_servers_say_is_read_as_it_is_meant(meaning: Reading, text: str) -> None:
    assert reading(text) is meaning
    assert reading(text.upper()) is meaning


@pytest.mark.parametrize("text", ["", "Ok", "go away", "try again later", "Temporarily deferred", "Message not allowed"])
def test_words_that_say_nothing_are_no_reading(text: str) -> None:
    assert reading(text) is None


@given(st.text(max_size=200))
def test_any_text_can_be_read(text: str) -> None:
    assert reading(text) in (None, *Reading)


def test_hostile_text_takes_no_long_time() -> None:
    hostile = [
        "user " * 50_000,
        "mailbox quota " * 20_000,
        "e-mail address account user id " * 10_000,
        "a" * 10**6,
        "no such " * 30_000,
        "x." * 10**5,
    ]
    assert timeit.timeit(lambda: [reading(text) for text in hostile], number=1) < 1
