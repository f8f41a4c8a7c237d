"""Mail from processes of its own, so that who measures is not held up by who floods: a steady sender, and floods of mail or of bulk.

Times are perf_counter seconds: one clock for all processes of a machine.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection

from bench.load import Answers, HttpLoad, http_request
from bench.mails import Mail, mails

SPAWN = get_context("spawn")
BODIES = 200  # different ones in a flood; each of its requests has recipients of its own
_HERE = "recipient@here"


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends: a tenant's key and an address of its verified domain, by the API's port."""

    port: int
    key: str
    address: str


@dataclass(frozen=True, slots=True)
class Flood:
    """So many mails to so many recipients of `domain` a request, as fast as they are accepted over so many connections."""

    sender: Sender
    domain: str
    mails: int
    a_request: int
    connections: int

    def requests(self) -> Iterator[bytes]:
        """The bytes of the requests, each made when it is wanted: all at once would be more than a machine has."""
        if self.a_request == 1:
            bodies = [mail.request({"personalizations": [{"to": [{"email": _HERE}]}]}) for mail in self._bodies(BODIES)]
            for n in range(self.mails):
                body = bodies[n % BODIES].replace(_HERE.encode(), f"flood+{n}@{self.domain}".encode())
                yield http_request("bench", self.sender.key, body)
            return
        for start, mail in zip(range(0, self.mails, self.a_request), self._bodies(self.mails), strict=False):
            people = [{"to": [{"email": f"crowd+{start + n}@{self.domain}"}]} for n in range(self.a_request)]
            yield http_request("bench", self.sender.key, mail.request({"personalizations": people}))

    def _bodies(self, count: int) -> Iterator[Mail]:
        return islice(mails(self.sender.address), count)


@dataclass(frozen=True, slots=True)
class Sent:
    """What a steady sender sent: mail n was due at `begun + n / rate`."""

    begun: float
    count: int
    answers: Answers


class Steady:
    """Sends mails to `domain`, `rate` a second at fixed instants, until `stop`."""

    def __init__(self, sender: Sender, domain: str, rate: float) -> None:
        self.rate = rate
        self._domain = domain
        self._pipe, theirs = SPAWN.Pipe()
        self._process = SPAWN.Process(target=_send_steadily, args=(theirs, sender, domain, rate), daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid or 0

    def stop(self) -> Sent:
        """Send no more; return what was sent when all of it is answered."""
        self._pipe.send(None)
        sent: Sent = self._pipe.recv()
        self._process.join(10)
        return sent

    def recipient(self, n: int) -> str:
        """To whom mail `n` goes."""
        return recipient(n, self._domain)


def recipient(n: int, domain: str) -> str:
    return f"steady+{n}@{domain}"


class Pouring:
    """Floods on their way, all from one process, which stays until `stop`: who counts its CPU finds it; `answers` of each at its end."""

    def __init__(self, *floods: Flood) -> None:
        self._pool = ProcessPoolExecutor(1, mp_context=SPAWN)
        self.pid = self._pool.submit(os.getpid).result()
        self.answers: Future[list[Answers]] = self._pool.submit(_pour, floods)

    def stop(self) -> None:
        """End the process, and the floods that have not come to their end."""
        if not self.answers.done():
            os.kill(self.pid, signal.SIGTERM)
        self._pool.shutdown(wait=False)


def _send_steadily(pipe: Connection, sender: Sender, domain: str, rate: float) -> None:
    def requests() -> Iterator[bytes]:
        for n, mail in enumerate(mails(sender.address)):
            if pipe.poll():
                return
            people = [{"to": [{"email": recipient(n, domain)}]}]
            yield http_request("bench", sender.key, mail.request({"personalizations": people}))

    async def send() -> Answers:
        async with HttpLoad("127.0.0.1", sender.port, 8, patient=True) as client:
            return await client.open(requests(), rate)

    answers = asyncio.run(send())
    pipe.send(Sent(answers.first_at, len(answers.seconds), answers))


def _pour(floods: tuple[Flood, ...]) -> list[Answers]:
    async def one(flood: Flood) -> Answers:
        async with HttpLoad("127.0.0.1", flood.sender.port, flood.connections, patient=True) as client:
            return await client.closed(flood.requests())

    async def all_of_them() -> list[Answers]:
        return await asyncio.gather(*(one(flood) for flood in floods))

    return asyncio.run(all_of_them())
