"""A bounded flood of single mails over HTTP, which notes what was answered and what was not."""

from __future__ import annotations

import asyncio
import json
from uuid import uuid4

import aiohttp
from tests.e2e.checker import Accepted
from tests.e2e.conftest import SENDER, Town


class Flood:
    """Sends `count` mails at about `rate` a second; a request that got no 202 is tried again under a new address, as another mail.

    `who` is what the recipients' servers do (sandbox.scripts).
    """

    def __init__(self, town: Town, count: int, rate: float, domains: int = 12, *, who: str = "ok") -> None:
        self._town, self._count, self._rate, self._domains, self._who = town, count, rate, domains, who
        self._tag = uuid4().hex[:8]
        self.accepted = Accepted()
        self.refused = 0

    def own(self, receipts: list[dict[str, str]]) -> list[dict[str, str]]:
        """Of a sink's receipts those of this flood."""
        return [entry for entry in receipts if entry["rcpt"].startswith(f"{self._who}+{self._tag}.")]

    async def run(self) -> Accepted:
        limit = asyncio.Semaphore(64)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session, asyncio.TaskGroup() as tasks:
            begun = asyncio.get_running_loop().time()
            for n in range(self._count):
                wait = begun + n / self._rate - asyncio.get_running_loop().time()
                if wait > 0:
                    await asyncio.sleep(wait)
                await limit.acquire()
                tasks.create_task(self._send(session, n)).add_done_callback(lambda _: limit.release())
        return self.accepted

    async def _send(self, session: aiohttp.ClientSession, n: int) -> None:
        for attempt in range(200):
            to = f"{self._who}+{self._tag}.{n}.{attempt}@d{n % self._domains}.s{n % 4}.sites.test"
            body = {
                "personalizations": [{"to": [{"email": to}]}],
                "from": {"email": SENDER},
                "subject": f"Flood {n}",
                "content": [{"type": "text/plain", "value": f"Mail {n} of a flood.\n" * 20}],
            }
            try:
                async with session.post(
                    f"{self._town.fleet.api_url}/v3/mail/send",
                    data=json.dumps(body),
                    headers={"Content-Type": "application/json", "Authorization": f"Bearer {self._town.api_key}"},
                ) as answer:
                    await answer.read()
                    if answer.status == 202:
                        self.accepted.by_id[answer.headers["X-Message-Id"]] = [to]
                        return
                    assert answer.status in {503, 401}, answer.status  # honest refusals only; 401 cannot last
                    self.accepted.unanswered.add(to)  # a 503 may follow a publish in doubt
                    self.refused += 1
            except (aiohttp.ClientError, TimeoutError, OSError):
                self.accepted.unanswered.add(to)
            await asyncio.sleep(0.25)
        raise AssertionError("never accepted")
