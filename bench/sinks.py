"""What receives in the bench: smtp-sink for most of the mail, a stamping sink of our own for two of the domains."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from time import perf_counter, sleep
from typing import Any, cast

SITES = tuple(f"127.0.10.{n}" for n in range(1, 9))
STAMP = "127.0.10.20"
LOOK_EVERY = 0.02  # seconds


class SmtpSink:
    """Postfix's smtp-sink on one address; `count` is what it says it took, `last_at` when that last changed; both as of the last `look`."""

    def __init__(self, address: str, port: int) -> None:
        self.count = 0
        self.last_at = 0.0
        self.process = subprocess.Popen(
            ["smtp-sink", "-c", "-u", "nobody", f"{address}:{port}", "1000"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
        assert self.process.stdout
        self._said = self.process.stdout.fileno()
        self._tail = b""
        os.set_blocking(self._said, False)

    def look(self) -> None:
        """Take in what it said since the last look: `sess=N quit=N mesg=N` after a carriage return for each event."""
        with suppress(BlockingIOError):
            while chunk := os.read(self._said, 65536):
                self._tail = (self._tail + chunk)[-200:]
        if found := re.findall(rb"mesg=(\d+)", self._tail):
            count = int(found[-1])
            if count != self.count:
                self.count, self.last_at = count, perf_counter()

    def stop(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.wait(10)
        if self.process.stdout:
            self.process.stdout.close()


@contextmanager
def smtp_sinks(port: int) -> Iterator[list[SmtpSink]]:
    """One smtp-sink a site, on the same port of as many loopback addresses.

    They are looked at every 20 ms: read as they write, a few thousand times a second, they took 3 % of the machine that is measured.
    """
    sinks = [SmtpSink(address, port) for address in SITES]
    sleep(0.3)
    ended = Event()

    def look() -> None:
        while not ended.wait(LOOK_EVERY):
            for sink in sinks:
                sink.look()

    looking = Thread(target=look, daemon=True)
    looking.start()
    try:
        yield sinks
    finally:
        ended.set()
        looking.join()
        for sink in sinks:
            sink.stop()


def listening(module: str, *arguments: str | float) -> subprocess.Popen[str]:
    """Start a module of the bench as a process of its own; return when it says that it listens."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *(str(each) for each in arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert process.stdout
    if process.stdout.readline().strip() != "listening":
        raise RuntimeError(f"{module} did not start")
    return process


class Stamps:
    """The stamping sink as a process of its own: its clock is the machine's monotonic one, as everybody's.

    `pause`: seconds that it takes over each mail, like a site that lets few mails through.
    """

    def __init__(self, port: int, address: str = STAMP, *, pause: float = 0) -> None:
        self.process = listening("bench.sinks", address, port, pause)

    def ask(self, command: str) -> dict[str, Any]:
        """`count`: how many mails, how many by domain, and when the last one ended. `dump`: stamps and kept mails, and forget them."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return dict(json.loads(self.process.stdout.readline()))

    def stop(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()


class StampingSink:
    """Takes mail and notes when: `mail_at` and `end_at` by recipient (perf_counter seconds). Keeps every `keep`-th mail."""

    def __init__(self, pause: float = 0, keep: int = 25) -> None:
        self.pause = pause
        self.mail_at: dict[str, float] = {}
        self.end_at: dict[str, float] = {}
        self.kept: list[bytes] = []
        self.count = 0
        self.by_domain: Counter[str] = Counter()
        self.last_at = 0.0
        self.keep = keep

    async def listen(self, address: str, port: int) -> asyncio.Server:
        """Accept connections."""
        return await asyncio.get_running_loop().create_server(lambda: _Stamping(self), address, port)

    def answer(self, command: str) -> str:
        """Answer one line of Stamps.ask."""
        if command == "count":
            return json.dumps({"count": self.count, "by_domain": self.by_domain, "last_at": self.last_at})
        dumped = {"mail_at": self.mail_at, "end_at": self.end_at, "kept": [b64encode(mail).decode() for mail in self.kept]}
        self.mail_at, self.end_at, self.kept, self.count, self.last_at = {}, {}, [], 0, 0.0
        self.by_domain.clear()
        return json.dumps(dumped)


class _Stamping(asyncio.Protocol):
    """As little SMTP as a sender with pipelining needs."""

    def __init__(self, sink: StampingSink) -> None:
        self._sink = sink
        self._buffer = bytearray()
        self._in_data = False
        self._mail_at = 0.0
        self._recipient = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop has classes of its own
        self._transport = transport
        transport.write(b"220 stamp.test ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        now = perf_counter()
        self._buffer += data
        answers = bytearray()
        while self._buffer:
            if self._in_data:
                end = 0 if self._buffer.startswith(b".\r\n") else self._buffer.find(b"\r\n.\r\n") + 2
                if end == 1:
                    break
                self._take(bytes(self._buffer[:end]), now)
                del self._buffer[: end + 3]
                if self._sink.pause:
                    asyncio.get_running_loop().call_later(self._sink.pause, self._transport.write, b"250 2.0.0 taken\r\n")
                else:
                    answers += b"250 2.0.0 taken\r\n"
            else:
                end = self._buffer.find(b"\r\n")
                if end < 0:
                    break
                answers += self._command(bytes(self._buffer[:end]), now)
                del self._buffer[: end + 2]
        if answers:
            self._transport.write(answers)

    def _command(self, line: bytes, now: float) -> bytes:
        verb = line[:4].upper()
        if verb == b"MAIL":
            self._mail_at = now
        elif verb == b"RCPT":
            self._recipient = line[line.index(b"<") + 1 : line.index(b">")].decode()
        elif verb == b"DATA":
            self._in_data = True
            return b"354 go\r\n"
        elif verb == b"EHLO":
            return b"250-stamp.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 52428800\r\n"
        elif verb == b"QUIT":
            self._transport.write(b"221 bye\r\n")
            self._transport.close()
            return b""
        return b"250 2.0.0 ok\r\n"

    def _take(self, mail: bytes, now: float) -> None:
        sink = self._sink
        self._in_data = False
        sink.mail_at.setdefault(self._recipient, self._mail_at)
        sink.end_at[self._recipient] = now
        sink.count += 1
        sink.by_domain[self._recipient.rpartition("@")[2]] += 1
        sink.last_at = now
        if sink.count % sink.keep == 0:
            sink.kept.append(mail.replace(b"\r\n..", b"\r\n."))


async def main(address: str, port: int, pause: float) -> None:
    """Run a stamping sink; commands come on standard input, answers go to standard output."""
    sink = StampingSink(pause)
    await sink.listen(address, port)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print("listening", flush=True)
    while line := await reader.readline():
        print(sink.answer(line.decode().strip()), flush=True)


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
