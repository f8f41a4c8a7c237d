"""How long each step of an SMTP dialogue may take, in seconds (RFC 5321 4.5.3.2), and an attempt as a whole."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timers:
    """The RFC's values; `connect` as Postfix has it.

    An attempt, with all hosts it asks, must have come to its final dot within `until_dot`, so that with the ten minutes after the dot it
    ends within 15 minutes: the broker takes a job back after 30.
    """

    connect: float = 30
    banner: float = 300
    ehlo: float = 300
    tls: float = 30
    mail: float = 300
    rcpt: float = 300
    data: float = 120
    block: float = 180
    dot: float = 600
    leave: float = 1
    until_dot: float = 300
