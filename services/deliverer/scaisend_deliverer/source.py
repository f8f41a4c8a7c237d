"""A source: the identity under which this process sends."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """Its name in jobs and paths, the local address to send from (empty: the system's choice), and the name after EHLO."""

    name: str
    ip: str
    ehlo_name: str
