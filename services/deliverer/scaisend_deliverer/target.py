"""A target: one address of one MX host."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """`address` was looked at and may be connected to, it and no other."""

    preference: int
    host: str
    address: str

    def __str__(self) -> str:
        return f"{self.host}[{self.address}]"
