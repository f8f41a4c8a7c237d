"""`make demo`: send a mail with SendGrid's own library, see it arrive, read its timeline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from time import monotonic, sleep, time
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

from sendgrid import SendGridAPIClient
from sendgrid.helpers.mail import Mail

from devstack.packages import Report

WITHIN = 20


class NotSeen(Exception):
    """The mail did not come, or its timeline does not say so."""


def demo(env: Mapping[str, str], report: Report) -> None:
    """Send and look, with what `.run/env` says. Raises NotSeen."""
    if not env:
        raise NotSeen("nothing is up: run make up first")
    to = env["SCAISEND_DEMO_TO"].replace("@", f"+{int(time() * 1000)}@")
    mail = Mail(env["SCAISEND_DEMO_FROM"], to, "Your receipt", "Thank you for your order.", "<p>Thank you for your <b>order</b>.</p>")
    try:
        answer = SendGridAPIClient(env["SCAISEND_API_KEY"], host=env["SCAISEND_API_URL"]).send(mail)
    except OSError as error:
        raise NotSeen(f"{env['SCAISEND_API_URL']} does not take it ({error}): is everything up? make status") from error
    message_id = answer.headers["X-Message-Id"]
    report(f"sent to {to} with the sendgrid package: {answer.status_code}, X-Message-Id {message_id}")
    deadline = monotonic() + WITHIN
    while not (found := _get(f"{env['SCAISEND_INBOX_URL']}/messages?to={quote(to)}")):
        _wait(deadline, f"it did not arrive within {WITHIN} s; see make logs")
    report(f"it arrived: {json.dumps(found[0], indent=2)}")
    with urlopen(f"{env['SCAISEND_INBOX_URL']}/messages/{found[0]['id']}/raw", timeout=10) as raw:
        report(f"as it stands in the inbox:\n\n{raw.read().decode(errors='replace')}")
    timeline = f"{env['SCAISEND_API_URL']}/v3/messages/{message_id}"
    while not (told := _get(timeline, env["SCAISEND_API_KEY"])) or told["status"] != "delivered":
        _wait(deadline, f"its timeline does not say delivered: {json.dumps(told)}")
    report(f"its timeline: {json.dumps(told, indent=2)}")


def _wait(deadline: float, why: str) -> None:
    if monotonic() > deadline:
        raise NotSeen(why)
    sleep(0.1)


def _get(url: str, key: str = "") -> Any:
    """The JSON of a URL; None while there is none."""
    try:
        with urlopen(Request(url, headers={"Authorization": f"Bearer {key}"} if key else {}), timeout=10) as answer:
            return json.loads(answer.read())
    except HTTPError as error:
        if error.code != 404:
            raise
        return None
