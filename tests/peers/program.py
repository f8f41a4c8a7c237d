"""What the real mail programs of the tests have in common: why they cannot run here, and how they end."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

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


# The program ends with the thread that started it, however that ends. A shell passes the signal on, for
# programs that change their user would not get it: Linux forgets PR_SET_PDEATHSIG then.
_GUARD = """
signal=$1; shift
"$@" & child=$!
trap 'kill -$signal $child' TERM
while kill -0 $child 2>/dev/null; do wait $child; status=$?; done
exit $status
"""


@contextmanager
def running(*command: str, output: Path, ready: Callable[[], bool], ends_by: str = "TERM") -> Iterator[None]:
    """Run a program while the block does. Raises RuntimeError when it ends too early, TimeoutError when it does not get `ready`."""
    guard = ["setpriv", "--pdeathsig=TERM", "sh", "-c", _GUARD, "guard", ends_by]
    with output.open("wb") as out:
        process = subprocess.Popen([*guard, *command], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    try:
        try:
            await_true(lambda: process.poll() is not None or ready(), "it is not ready in time")
        except TimeoutError as error:
            raise TimeoutError(f"{command[0]}: {error}: {output.read_text()}") from error
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended with {process.returncode}: {output.read_text()}")
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
