"""A mail that an MX host took, exactly as it came, with its envelope."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sandbox.zones import MxHost

_MESSAGE_ID = re.compile(rb"^message-id:[ \t]*(?:\r\n[ \t]+)?(\S+)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Mail:
    """`content` has CRLF line ends and no transparency dots; `session` names the connection in the receipts."""

    received_at: float
    host: MxHost
    session: str
    peer: str
    helo: str
    tls: bool
    reverse_path: str
    forward_paths: tuple[str, ...]
    content: bytes

    @property
    def message_id(self) -> str:
        """The Message-ID with its angle brackets; empty where there is none."""
        found = _MESSAGE_ID.search(self.header)
        return found[1].decode("utf-8", "replace") if found else ""

    @property
    def header(self) -> bytes:
        """The header section."""
        return self.content.partition(b"\r\n\r\n")[0] + b"\r\n"
