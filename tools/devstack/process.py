"""Start a server in a session of its own, remember its pid, end it by that pid and nothing else.

A pid in a file may by now be another's: beside each pid its start is kept (boot and clock ticks), and only a
process that began then is ours.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep


def spawn(
    argv: Sequence[str | Path], *, place: Path, name: str, env: Mapping[str, str], user: int | None = None, cwd: Path | None = None
) -> int:
    """Start `argv`, its output appended to `<place>/log/<name>.log`, its pid in `<place>/pid/<name>`; return the pid."""
    log, pid_file = place / "log" / f"{name}.log", place / "pid" / name
    for folder in (log.parent, pid_file.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        process = subprocess.Popen(
            [str(word) for word in argv],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=cwd or place,
            start_new_session=True,
            user=user,
            group=user,
            extra_groups=[] if user is not None else None,
        )
    process.returncode = 0  # it outlives this object, and perhaps this process: it is ended by its pid
    pid_file.write_text(f"{process.pid}\n")
    began = place / "began" / name
    began.parent.mkdir(exist_ok=True)
    began.write_text(_began(process.pid))
    return process.pid


def pid_of(place: Path, name: str) -> int | None:
    """Return the pid of a process of ours that is still alive, or None."""
    try:
        pid = int((place / "pid" / name).read_text())
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z" and not _has_threads(pid):
            _reap(pid)
            return None
        return pid if _began(pid) == (place / "began" / name).read_text() else None
    except (OSError, ValueError):
        return None


def told(place: Path, name: str, variable: str) -> str | None:
    """Return a variable of the environment that a process was started with (proc(5)); None where it has none, or is gone."""
    try:
        environ = os.fsdecode(Path(f"/proc/{pid_of(place, name)}/environ").read_bytes())
    except OSError:
        return None
    pairs = (each.partition("=") for each in environ.split("\0"))
    return next((value for key, _, value in pairs if key == variable), None)


def names(place: Path) -> list[str]:
    """The names of all processes that were started, alive or not."""
    return sorted(path.name for path in (place / "pid").glob("*"))


def stop(place: Path, name: str, *, with_signal: signal.Signals = signal.SIGTERM, grace: float = 30) -> bool:
    """End a process, with SIGKILL when it outlives `grace` seconds; return whether it went by itself."""
    went = True
    if pid := pid_of(place, name):
        os.kill(pid, with_signal)
        if not wait_gone(place, name, grace):
            went = False
            os.kill(pid, signal.SIGKILL)
            wait_gone(place, name, 10)
    for folder in ("pid", "began"):
        (place / folder / name).unlink(missing_ok=True)
    return went


def abandon(place: Path, name: str) -> None:
    """Kill a process with all that it started (each has a session of its own) and wait until it is gone."""
    if pid := pid_of(place, name):
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        wait_gone(place, name, 10)
    for folder in ("pid", "began"):
        (place / folder / name).unlink(missing_ok=True)


def wait_gone(place: Path, name: str, seconds: float) -> bool:
    """Wait until the process has ended; return whether it did in time."""
    deadline = monotonic() + seconds
    while pid_of(place, name):
        if monotonic() > deadline:
            return False
        sleep(0.02)
    return True


def _began(pid: int) -> str:
    """When a process started: the boot and the clock ticks since, which no other process of that pid shares (proc(5))."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {ticks}"


def _has_threads(pid: int) -> bool:
    """Whether a process whose first thread has ended has others that have not: they still hold its ports and files."""
    return len(list(Path(f"/proc/{pid}/task").iterdir())) > 1


def _reap(pid: int) -> None:
    with suppress(ChildProcessError):  # where its parent is another process, that one reaps it
        os.waitpid(pid, os.WNOHANG)
