"""A process is ended by its pid, and only when it is still the one that was started."""

import os
import platform
import signal
import sys
from pathlib import Path
from time import monotonic

from devstack.process import abandon, names, pid_of, spawn, stop, told

EXIT = {"aarch64": 93}.get(platform.machine(), 60)  # exit(2), which ends one thread
THREADS = f"""
import ctypes, threading
threading.Thread(target=threading.Event().wait).start()
ctypes.CDLL(None).syscall({EXIT}, 0)
"""
HEADLESS = [sys.executable, "-c", THREADS]  # its first thread ends, after which /proc says Z; the second lives on
ENV = {"PATH": os.environ["PATH"]}
PATIENT = [sys.executable, "-c", "import time; time.sleep(60)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)",
]


def test_a_started_process_is_known_by_name_and_gone_after_stop(tmp_path: Path) -> None:
    pid = spawn(PATIENT, place=tmp_path, name="one", env=ENV)
    assert pid_of(tmp_path, "one") == pid
    assert names(tmp_path) == ["one"]
    assert os.getsid(pid) == pid
    assert stop(tmp_path, "one") is True
    assert (pid_of(tmp_path, "one"), names(tmp_path)) == (None, [])


def test_a_process_is_asked_what_it_was_started_with(tmp_path: Path) -> None:
    spawn(PATIENT, place=tmp_path, name="one", env={**ENV, "PART": "a=b"})
    assert [told(tmp_path, "one", name) for name in ("PART", "PAR", "OTHER")] == ["a=b", None, None]
    stop(tmp_path, "one")
    assert told(tmp_path, "one", "PART") is None


def test_a_pid_that_is_another_process_now_is_left_alone(tmp_path: Path) -> None:
    pid = spawn(PATIENT, place=tmp_path, name="one", env=ENV)
    (tmp_path / "pid/other").write_text(f"{pid}\n")
    (tmp_path / "began/other").write_text("another boot 12345")
    assert pid_of(tmp_path, "other") is None
    stop(tmp_path, "other")
    assert pid_of(tmp_path, "one") == pid
    abandon(tmp_path, "one")


def test_what_does_not_go_politely_is_killed(tmp_path: Path) -> None:
    spawn(DEAF, place=tmp_path, name="deaf", env=ENV)
    while "deaf" not in (tmp_path / "log/deaf.log").read_text():
        os.sched_yield()
    assert stop(tmp_path, "deaf", with_signal=signal.SIGTERM, grace=0.2) is False
    assert pid_of(tmp_path, "deaf") is None


def test_abandoned_processes_take_their_children_along(tmp_path: Path) -> None:
    script = "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); print(p.pid, flush=True); time.sleep(60)"
    spawn([sys.executable, "-c", script], place=tmp_path, name="parent", env=ENV)
    log = tmp_path / "log/parent.log"
    while not log.read_text().endswith("\n"):
        os.sched_yield()
    child = int(log.read_text())
    abandon(tmp_path, "parent")
    deadline = monotonic() + 10  # it was killed, but need not have had the processor yet to die
    while (lives := _lives(child)) and monotonic() < deadline:
        os.sched_yield()
    assert not lives


def test_a_name_that_was_never_started_stops_at_once(tmp_path: Path) -> None:
    assert stop(tmp_path, "nobody") is True
    assert names(tmp_path) == []


def test_a_process_is_there_until_its_last_thread_has_ended(tmp_path: Path) -> None:
    pid = spawn(HEADLESS, place=tmp_path, name="headless", env=ENV)
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        os.sched_yield()
    assert pid_of(tmp_path, "headless") == pid
    abandon(tmp_path, "headless")
    assert pid_of(tmp_path, "headless") is None


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
