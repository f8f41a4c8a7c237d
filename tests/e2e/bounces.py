"""Bounces of mails that arrived in a town."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.e2e.conftest import Town

from sandbox.mail import Mail
from sandbox.reporter import report_of, submit
from sandbox.scripts import Aftermath
from sandbox.zones import mx_hosts


def bounce(here: Town, mail: dict[str, Any]) -> str:
    """Report, as its MX would, that a mail which it took could not be delivered after all; return what was said against that."""
    envelope = mail["envelope"]
    taken = Mail(
        mail["received_at"],
        mx_hosts(1)[0],
        envelope["session"],
        envelope["peer"],
        envelope["helo"],
        mail["tls"],
        envelope["from"],
        tuple(envelope["to"]),
        here.raw(mail),
    )
    report = report_of(taken, envelope["to"][0], Aftermath.BOUNCE, datetime.now(UTC))
    assert report is not None
    return submit(report, f"127.0.0.1:{here.fleet.inbound_port}")
