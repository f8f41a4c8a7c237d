"""The outbox: what attempts leave behind, published in batches and confirmed; nothing is given up while the process lives.

Events of one lane share a message, and so do jobs that wait. What the broker does not take is tried again, with the same ids.
"""

from __future__ import annotations

import asyncio

from prometheus_client import Counter
from structlog import get_logger

from scaisend_common.plumbing.amqp import Publisher, Refused, Unavailable, Unroutable
from scaisend_common.plumbing.amqp.parking import reason_header
from scaisend_common.topology import Topology
from scaisend_deliverer.batches import Batches
from scaisend_deliverer.letter import Letter, Message, pack

log = get_logger()

LINGER = 0.25  # seconds; under load a message then carries some hundred events, and nobody sees it late
SOON = 0.02  # seconds, where jobs are held back until others are acked
MOST = 1000  # letters a batch
PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)  # seconds between tries
FAILED = Counter("scaisend_publish_retries", "Messages that the broker did not take at once")


class Outbox:
    """`add` returns a future that is done when the broker has confirmed the letter; `linger`: seconds for which letters are gathered."""

    def __init__(self, publisher: Publisher, topology: Topology, *, linger: float = LINGER) -> None:
        self._publisher = publisher
        self._topology = topology
        self._letters: Batches[Letter, None] = Batches(self._send, most=MOST, linger=linger, lanes=2)

    def add(self, letter: Letter, *, soon: bool = False) -> asyncio.Future[None]:
        """At the confirm of a letter the attempt has happened for everybody else. A crash before repeats it from the ledger.

        `soon`: other work waits for that instant.
        """
        return self._letters.add(letter, linger=SOON if soon else None)

    async def _send(self, letters: list[Letter]) -> list[None]:
        messages = pack(letters, self._topology)
        tries = 0
        while messages := await self._not_taken(messages):
            FAILED.inc(len(messages))
            await asyncio.sleep(PAUSES[min(tries, len(PAUSES) - 1)])
            tries += 1
        return [None] * len(letters)

    def _publish(self, message: Message) -> asyncio.Future[None]:
        headers = reason_header(message.parked_why) if message.parked_why else None
        return self._publisher.publish_nowait(message.exchange, message.key, message.body, headers=headers)

    async def _not_taken(self, messages: list[Message]) -> list[Message]:
        """Publish them at once and return those that the broker did not confirm."""
        confirms: list[asyncio.Future[None]] = []
        try:
            confirms.extend(self._publish(each) for each in messages)
        except Unavailable as away:
            log.warning("publishing_waits", why=str(away), messages=len(messages))
        failed = messages[len(confirms) :]
        for message, answer in zip(messages, await asyncio.gather(*confirms, return_exceptions=True), strict=False):
            match answer:
                case Unavailable() | Refused() | Unroutable():
                    log.warning("publishing_failed", exchange=message.exchange, key=message.key, why=str(answer))
                    failed.append(message)
                case BaseException():
                    raise answer
        return failed
