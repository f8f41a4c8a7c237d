"""What receives in the bench: smtp-sink for most of the mail, a stamping sink of our own for two of the domains."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from struct import unpack
from threading import Event, Thread
from time import perf_counter, sleep, time_ns
from typing import Any

SINK = "127.0.10.1"
SITES = 8  # paths that end at SINK, where the peers have one
STAMP = "127.0.10.20"
LOOK_EVERY = 0.05  # seconds
SO_TIMESTAMPNS = 35  # socket(7); the module socket has no name for it
NOTE_BYTES = socket.CMSG_SPACE(16)
KEEP = 4  # every fourth of what two of fifty domains get: one mail in a hundred
MOST_KEPT = 200  # until they are asked for: a flood to a stamped domain has hundreds of thousands


class SmtpSink:
    """Postfix's smtp-sink; `count` is what it says it took, `last_at` when that last changed; both as of the last `look`."""

    def __init__(self, port: int) -> None:
        self.count = 0
        self.last_at = 0.0
        self.process = subprocess.Popen(
            ["smtp-sink", "-c", "-u", "nobody", f"{SINK}:{port}", "1000"],
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
def smtp_sink(port: int) -> Iterator[SmtpSink]:
    """The smtp-sink that ours and the peers deliver to.

    It is looked at every 50 ms: read as it writes, a few thousand times a second, it took 3 % of the machine that is measured.
    """
    sink = SmtpSink(port)
    sleep(0.3)
    ended = Event()

    def look() -> None:
        while not ended.wait(LOOK_EVERY):
            sink.look()

    looking = Thread(target=look, daemon=True)
    looking.start()
    try:
        yield sink
    finally:
        ended.set()
        looking.join()
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
    """Takes mail and notes when: `mail_at` and `end_at` by recipient (perf_counter seconds). Keeps every KEEP-th mail.

    MAIL came when the kernel had it: on a full machine the sink, which stands for somebody else's, gets to it milliseconds later.
    """

    def __init__(self, address: str, port: int, *, pause: float = 0) -> None:
        self.pause = pause
        self.mail_at: dict[str, float] = {}
        self.end_at: dict[str, float] = {}
        self.kept: list[bytes] = []
        self.count = 0
        self.by_domain: Counter[str] = Counter()
        self.last_at = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []  # what is to be said after its pause
        self._numbers = count()
        self._is_over = False
        self._selector = DefaultSelector()
        self._server = socket.create_server((address, port), backlog=1000)
        self._server.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)  # inherited by what it accepts
        self._server.setblocking(False)
        self._selector.register(self._server, EVENT_READ, self._accept)
        self._selector.register(sys.stdin, EVENT_READ, self._obey)

    def run(self) -> None:
        """Serve until standard input ends."""
        while not self._is_over:
            for key, _ in self._selector.select(max(0.0, self._due[0][0] - perf_counter()) if self._due else None):
                key.data()
            while self._due and self._due[0][0] <= perf_counter():
                heappop(self._due)[2]()

    def later(self, act: Callable[[], None]) -> None:
        """Do it after the pause."""
        heappush(self._due, (perf_counter() + self.pause, next(self._numbers), act))

    def take(self, recipient: str, mail: bytes, mail_at: float, end_at: float) -> None:
        """Note a mail."""
        self.mail_at.setdefault(recipient, mail_at)
        self.end_at[recipient] = end_at
        self.count += 1
        self.by_domain[recipient.rpartition("@")[2]] += 1
        self.last_at = end_at
        if self.count % KEEP == 0 and len(self.kept) < MOST_KEPT:
            self.kept.append(mail.replace(b"\r\n..", b"\r\n."))

    def forget(self, connection: socket.socket) -> None:
        """Close a connection."""
        self._selector.unregister(connection)
        connection.close()

    def _accept(self) -> None:
        connection, _ = self._server.accept()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(connection, EVENT_READ, _Stamping(self, connection).read)

    def _obey(self) -> None:
        line = sys.stdin.readline()
        self._is_over = not line
        if line:
            print(self._answer(line.strip()), flush=True)

    def _answer(self, command: str) -> str:
        """Answer one line of Stamps.ask."""
        if command == "count":
            return json.dumps({"count": self.count, "by_domain": self.by_domain, "last_at": self.last_at})
        dumped = {"mail_at": self.mail_at, "end_at": self.end_at, "kept": [b64encode(mail).decode() for mail in self.kept]}
        self.mail_at, self.end_at, self.kept, self.count, self.last_at = {}, {}, [], 0, 0.0
        self.by_domain.clear()
        return json.dumps(dumped)


class _Stamping:
    """As little SMTP as a sender with pipelining needs."""

    def __init__(self, sink: StampingSink, connection: socket.socket) -> None:
        self._sink = sink
        self._connection = connection
        self._buffer = bytearray()
        self._in_data = False
        self._mail_at = 0.0
        self._recipient = ""
        self._is_over = False
        self._say(b"220 stamp.test ESMTP\r\n")

    def read(self) -> None:
        """Take in what is there; the kernel says when the last of it came."""
        try:
            data, notes, _, _ = self._connection.recvmsg(65_536, NOTE_BYTES)
        except OSError:
            data, notes = b"", []
        if not data:
            self._sink.forget(self._connection)
            return
        at = _came_at(notes)
        self._buffer += data
        answers = bytearray()
        while self._buffer:
            if self._in_data:
                end = 0 if self._buffer.startswith(b".\r\n") else self._buffer.find(b"\r\n.\r\n") + 2
                if end == 1:
                    break
                self._in_data = False
                self._sink.take(self._recipient, bytes(self._buffer[:end]), self._mail_at, at)
                del self._buffer[: end + 3]
                if self._sink.pause:
                    self._sink.later(partial(self._say, b"250 2.0.0 taken\r\n"))
                else:
                    answers += b"250 2.0.0 taken\r\n"
            else:
                end = self._buffer.find(b"\r\n")
                if end < 0:
                    break
                answers += self._command(bytes(self._buffer[:end]), at)
                del self._buffer[: end + 2]
        if answers:
            self._say(answers)
        if self._is_over:
            self._sink.forget(self._connection)

    def _say(self, answers: bytes | bytearray) -> None:
        """Answers are short, and their reader waits for them: they have room in the socket."""
        with suppress(OSError):  # who has gone gets none
            self._connection.sendall(answers)

    def _command(self, line: bytes, at: float) -> bytes:
        verb = line[:4].upper()
        if verb == b"MAIL":
            self._mail_at = at
        elif verb == b"RCPT":
            self._recipient = line[line.index(b"<") + 1 : line.index(b">")].decode()
        elif verb == b"DATA":
            self._in_data = True
            return b"354 go\r\n"
        elif verb == b"EHLO":
            return b"250-stamp.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 52428800\r\n"
        elif verb == b"QUIT":
            self._is_over = True
            return b"221 bye\r\n"
        return b"250 2.0.0 ok\r\n"


def _came_at(notes: list[tuple[int, int, bytes]]) -> float:
    """When the kernel had the last of what was read, in perf_counter seconds; it tells in those of the wall clock."""
    seconds, nanoseconds = next(unpack("qq", note) for level, kind, note in notes if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS))
    return perf_counter() - (time_ns() - seconds * 1_000_000_000 - nanoseconds) / 1e9


if __name__ == "__main__":
    sink = StampingSink(sys.argv[1], int(sys.argv[2]), pause=float(sys.argv[3]))
    print("listening", flush=True)
    sink.run()
