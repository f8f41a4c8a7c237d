"""The mails of the bench: made from one committed seed, each with a body of its own, ordinary text with some double spaces."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

SEED = 20261123
DOMAINS = 50
STAMPED = 2  # of them go to the stamping sink
WORDS = (
    "account address amount answer balance before better billing book brief build change charge choice clear close code come copy cost "
    "customer date day deliver detail device done door early email end enter event every example fact fee file find first follow free "
    "full give good great group hand help here home hour idea invoice item keep kind know last later learn left letter life line link "
    "list little long look mail make many mark matter may mean meet member message minute money month more morning most move much name "
    "need never new next night note notice now number offer office often once open order other own page paid part past pay people "
    "period person phone place plan please point press price print private product proof public question quick quiet read ready real "
    "reason receipt record refund remain report request rest return right safe same save see send service set share shipping short show "
    "side sign simple since small soon sort start state statement stay step still stop store subject such sure table take team thank "
    "thing third through ticket time today together total track trust turn under update upon use user value visit wait want warm way "
    "week welcome well while whole wish within word work write year"
).split()


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail of the bench."""

    number: int
    sender: str
    recipient: str
    subject: str
    text: str
    html: str

    def request(self, extra: dict[str, object] | None = None) -> bytes:
        """The body of its POST /v3/mail/send."""
        return json.dumps(
            {
                "personalizations": [{"to": [{"email": self.recipient}]}],
                "from": {"email": self.sender, "name": "Bench Store"},
                "subject": self.subject,
                "content": [{"type": "text/plain", "value": self.text}, {"type": "text/html", "value": self.html}],
            }
            | (extra or {}),
            separators=(",", ":"),
        ).encode()

    def mime(self) -> bytes:
        """The same mail as a client would hand it to an MTA: unsigned, CRLF, 7bit, as short of cost to build as to read."""
        boundary = f"=_b{self.number}"
        return (
            f"From: Bench Store <{self.sender}>\r\nTo: {self.recipient}\r\nSubject: {self.subject}\r\n"
            "Date: Mon, 23 Nov 2026 12:00:00 +0000\r\n"
            f"Message-ID: <{self.number}.bench@{self.sender.rpartition('@')[2]}>\r\nMIME-Version: 1.0\r\n"
            f'Content-Type: multipart/alternative; boundary="{boundary}"\r\n\r\n'
            f"--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n{_crlf(self.text)}\r\n"
            f"--{boundary}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n{_crlf(self.html)}\r\n"
            f"--{boundary}--\r\n"
        ).encode()


def mails(sender: str, size: int = 4096, *, seed: int = SEED, start: int = 0) -> Iterator[Mail]:
    """Yield mails without end: about `size` bytes of text and HTML together, each to a recipient of its own in one of the domains."""
    random = Random(seed)
    number = start
    while True:
        text = _prose(random, size * 2 // 5)
        paragraphs = "".join(f"<p>{line}</p>\n" for line in _prose(random, size * 2 // 5).splitlines() if line)
        html = f'<html><head><title>Receipt {number}</title></head><body style="font-family: sans-serif">\n{paragraphs}</body></html>\n'
        yield Mail(number, sender, f"ok+{number}@{domain(number % DOMAINS)}", f"Your receipt {number}", text, html)
        number += 1


def domain(n: int) -> str:
    """Recipient domain `n` of DOMAINS; the first STAMPED go to the stamping sink."""
    return f"d{n}.{'stamped' if n < STAMPED else 'bench'}.test"


def _prose(random: Random, size: int) -> str:
    lines: list[str] = []
    length = 0
    while length < size:
        line = " ".join(random.choices(WORDS, k=random.randint(7, 11))).capitalize()
        if random.random() < 0.2:
            line = line.replace(" ", "  ", 1)
        lines.append(line + ".")
        length += len(line) + 2
    return "\n".join(lines) + "\n"


def _crlf(text: str) -> str:
    return text.replace("\n", "\r\n")
