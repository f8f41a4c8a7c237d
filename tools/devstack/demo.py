"""`make demo`: send a mail with SendGrid's own library, see it arrive, read its timeline."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import quote
from urllib.request import Request, urlopen

WITHIN = 20


def demo(place: Path, report: Callable[[str], None]) -> int:
    """Return 0 when the mail was seen and its timeline says delivered."""
    from sendgrid import SendGridAPIClient
    from sendgrid.helpers.mail import Mail

    if not (place / "env").exists():
        sys.stderr.write("nothing is up: run make up first\n")
        return 1
    env = dict(line.split("=", 1) for line in (place / "env").read_text().splitlines() if "=" in line)
    client = SendGridAPIClient(env["SCAISEND_API_KEY"], host=env["SCAISEND_API_URL"])
    to = env["SCAISEND_DEMO_TO"].replace("@", f"+{int(monotonic() * 1000)}@")
    mail = Mail(env["SCAISEND_DEMO_FROM"], to, "Your receipt", "Thank you for your order.", "<p>Thank you for your <b>order</b>.</p>")
    answer = client.send(mail)
    message_id = answer.headers["X-Message-Id"]
    report(f"sent to {to} with the sendgrid package: {answer.status_code}, X-Message-Id {message_id}")
    deadline = monotonic() + WITHIN
    found = _get(f"{env['SCAISEND_INBOX_URL']}/messages?to={quote(to)}")
    while not found and monotonic() < deadline:
        sleep(0.1)
        found = _get(f"{env['SCAISEND_INBOX_URL']}/messages?to={quote(to)}")
    if not found:
        report("it did not arrive; see make logs")
        return 1
    report(f"arrived: {json.dumps(found[0], indent=2)}")
    timeline: dict[str, object] = {}
    while timeline.get("status") != "delivered" and monotonic() < deadline:
        timeline = _get(f"{env['SCAISEND_API_URL']}/v3/messages/{message_id}", env["SCAISEND_API_KEY"])
        sleep(0.1)
    report(f"timeline: {json.dumps(timeline, indent=2)}")
    return 0 if timeline.get("status") == "delivered" else 1


def _get(url: str, key: str = ""):  # type: ignore[no-untyped-def]
    with urlopen(Request(url, headers={"Authorization": f"Bearer {key}"} if key else {}), timeout=10) as answer:
        return json.loads(answer.read())
