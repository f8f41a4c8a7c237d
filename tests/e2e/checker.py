"""The independent checker: reads the sink's receipts, the ledger and the tables, shares no code with the services, believes nobody.

Conservation per recipient: every one of a submission answered 202 was delivered, or the timeline says why not. Duplicates are deliveries
that were in doubt when a process was killed, read from the ledger between kill and restart (docs/flow.md, The ledger).
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import redis

TERMINAL = {"delivered", "bounced", "dropped"}


@dataclass
class Accepted:
    """What was answered 202: recipients by submission id. What got no answer may have been accepted or not."""

    by_id: dict[str, list[str]] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)

    @property
    def recipients(self) -> set[str]:
        return {recipient for recipients in self.by_id.values() for recipient in recipients}


def in_doubt(ledger_url: str) -> set[str]:
    """The deliveries with a claim and no outcome, now."""
    found = set()
    with redis.Redis.from_url(ledger_url) as client:
        for key in client.scan_iter("claim:*", count=1000):
            value = client.get(key)
            if value is not None and not value.startswith(b"\x01"):
                found.add(key.decode().split(":")[1])
    return found


def receipts(path: Path) -> list[dict[str, str]]:
    """The mails that the sink took, in order."""
    return [entry for line in path.read_text().splitlines() if (entry := json.loads(line))["what"] == "mail"]


def delivery_of(entry: dict[str, str]) -> str:
    """The delivery that a mail was, by its Message-ID."""
    return entry["message_id"].strip("<>").partition("@")[0]


def sent_between(taken: list[dict[str, str]], since: float, until: float) -> set[str]:
    """The deliveries that the sink took within these unix seconds."""
    return {delivery_of(entry) for entry in taken if since <= float(entry["at"]) <= until}


async def states(admin_dsn: str) -> dict[str, str]:
    """The timeline's word on every delivery."""
    connection = await asyncpg.connect(admin_dsn)
    try:
        return {row["delivery_id"]: row["state"] for row in await connection.fetch("SELECT delivery_id, state FROM messages")}
    finally:
        await connection.close()


async def unsettled(accepted: Accepted, admin_dsn: str) -> list[str]:
    """The accepted submissions whose timeline is not yet at an end."""
    ended: Counter[str] = Counter(delivery[:22] for delivery, state in (await states(admin_dsn)).items() if state in TERMINAL)
    return [submission for submission, recipients in accepted.by_id.items() if ended[submission] < len(recipients)]


async def check(accepted: Accepted, path: Path, admin_dsn: str, doubted: set[str]) -> dict[str, int]:
    """Judge everything that the sink took."""
    return judge(accepted, receipts(path), await states(admin_dsn), doubted)


def judge(accepted: Accepted, taken: list[dict[str, str]], known: dict[str, str], doubted: set[str]) -> dict[str, int]:
    """Assert conservation, bounded duplicates and honest states; return the counts."""
    by_recipient = Counter(entry["rcpt"] for entry in taken)
    told = {delivery[:22] for delivery, state in known.items() if state in TERMINAL}
    lost = [r for submission, rs in accepted.by_id.items() for r in rs if not by_recipient[r] and submission not in told]
    assert not lost, f"{len(lost)} accepted recipients neither delivered nor accounted for: {lost[:5]}"
    invented = set(by_recipient) - accepted.recipients - accepted.unanswered
    assert not invented, f"delivered but never accepted: {sorted(invented)[:5]}"
    copies = Counter(delivery_of(entry) for entry in taken)
    false = {d for d, state in known.items() if state == "delivered" and d[:22] in accepted.by_id} - set(copies)
    assert not false, f"the timeline says delivered, the sink never took them: {sorted(false)[:5]}"
    twice = [delivery for delivery, count in copies.items() if count > 1]
    beyond = [delivery for delivery in twice if delivery not in doubted]
    assert not beyond, f"{len(beyond)} of {len(twice)} duplicates were never in doubt: {beyond[:5]}"
    return {"accepted": len(accepted.recipients), "delivered": len(copies), "twice": len(twice), "in_doubt": len(doubted)}
