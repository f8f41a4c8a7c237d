"""Nothing is left behind when a test run is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

from devstack.process import pid_of, spawn
from devstack.watchdog import MARK, is_alive, marked

TOOLS = str(Path(__file__).parents[2] / "tools")
SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


def gone(pid: int, seconds: float = 10) -> bool:
    deadline = monotonic() + seconds
    while is_alive(pid) and monotonic() < deadline:
        sleep(0.05)
    return not is_alive(pid)


def test_servers_and_marked_processes_end_with_the_run_and_nothing_else_does(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    run = subprocess.Popen(SLEEPER)
    child = subprocess.Popen(SLEEPER, env={**os.environ, MARK: str(place)}, start_new_session=True)
    bystander = subprocess.Popen(SLEEPER, env={**os.environ, MARK: f"{place}-another"}, start_new_session=True)
    server = spawn(SLEEPER, place=place, name="redis", env={"PATH": os.environ["PATH"]})
    watchdog = subprocess.Popen(
        [sys.executable, "-m", "devstack.watchdog", str(place), str(run.pid)], env={**os.environ, "PYTHONPATH": TOOLS}
    )
    try:
        sleep(0.5)
        assert set(marked(place)) == {child.pid}
        assert pid_of(place, "redis") == server
        run.send_signal(signal.SIGKILL)
        run.wait()
        assert gone(child.pid)
        assert gone(server)
        assert watchdog.wait(10) == 0
        assert not place.exists()
        assert is_alive(bystander.pid)
    finally:
        for each in (run, child, bystander, watchdog):
            each.kill()
            each.wait()
