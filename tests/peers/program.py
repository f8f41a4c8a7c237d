"""What the real mail programs of the tests have in common: why they cannot run here, and how they end."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGTERM, Signals

SBIN = "/usr/sbin:/usr/local/sbin:/usr/bin"


def why_not(program: str) -> str:
    """Return why a test with this program has to be skipped; empty when it need not be."""
    if not shutil.which(program, path=SBIN):
        return f"{program} is not installed: `make test` as root installs it"
    if os.geteuid() != 0:
        return f"{program} needs root"
    return ""


def path_of(program: str) -> str:
    """Return where a program is that `why_not` found."""
    path = shutil.which(program, path=SBIN)
    assert path, f"{program} is not installed"
    return path


def await_true(holds: Callable[[], bool], what: str, seconds: float = 20) -> None:
    """Block until something holds. Raises TimeoutError that says what did not."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            raise TimeoutError(what)
        time.sleep(0.02)


@contextmanager
def running(*command: str, output: Path, ready: Callable[[], bool], user: str = "root", ends_by: Signals = SIGTERM) -> Iterator[None]:
    """Run a program in a session of its own while the block does; it ends with the thread that started it, however that ends.

    Raises RuntimeError when it ends too early, TimeoutError when it does not get `ready`, with its `output`.
    """
    ids = pwd.getpwnam(user)
    guard = ["setpriv", f"--reuid={ids.pw_uid}", f"--regid={ids.pw_gid}", "--clear-groups", "--pdeathsig=TERM", "--"]
    with output.open("wb") as out:
        process = subprocess.Popen(
            [*guard, *command], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        try:
            await_true(lambda: process.poll() is not None or ready(), "it is not ready in time")
        except TimeoutError as error:
            raise TimeoutError(f"{command[0]}: {error}: {output.read_text()}") from error
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended with {process.returncode}: {output.read_text()}")
        yield
    finally:
        process.send_signal(ends_by)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
