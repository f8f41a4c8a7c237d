"""`python -m devstack.watchdog PLACE PID`: when process PID has ended, end all that belongs to its test run, and delete PLACE.

The tests' last resort: nothing is left behind even when the run is killed. What it started carries SCAISEND_TEST_PLACE=PLACE in its
environment; the servers are known by their pids.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import sleep

from devstack.servers import stop_all

MARK = "SCAISEND_TEST_PLACE"


def is_alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def marked(place: Path) -> Iterator[int]:
    """The processes of this user that carry the place in their environment, but this one."""
    mark = f"{MARK}={place}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if folder.name != str(os.getpid()) and mark in (folder / "environ").read_bytes().split(b"\0"):
                yield int(folder.name)


def main(place: Path, pid: int) -> None:
    """Wait for the end of `pid`, then clean up."""
    while is_alive(pid) and place.exists():
        sleep(0.5)
    for each in marked(place):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(each, signal.SIGKILL)
    if place.exists():
        stop_all(place, hastily=True)
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
