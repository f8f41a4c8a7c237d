"""`python -m devstack.watchdog PLACE PID`: when process PID has ended, stop the servers of PLACE and delete it.

The tests' last resort: their servers end even when the test run is killed.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from time import sleep

from devstack.servers import stop_all


def is_alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def main(place: Path, pid: int) -> None:
    """Wait for the end of `pid`, then clean up."""
    while is_alive(pid) and place.exists():
        sleep(0.5)
    if place.exists():
        stop_all(place, hastily=True)
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
