"""`python3 -m devstack.virtualenv`: make `.venv` with everything that is locked, and our own packages, linked to the checkout.

Uses only the standard library: it runs before anything is installed. A Python that came without pip (Debian's, without python3-venv)
gets Debian's wheel of it, unpacked into the cache.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep

from devstack.packages import CannotFetch, pip_wheel

CHECKOUT = Path(__file__).resolve().parents[2]
VENV = CHECKOUT / ".venv"
PACKAGES = ("libs/common", *(f"services/{name}" for name in ("api", "scheduler", "deliverer", "bounce-inbound", "webhook-fanout")))
OLDEST = (3, 11)
SAY_EVERY = 10.0


def main() -> int:
    """Make it or bring it up to date; 0 when it is."""
    if sys.version_info < OLDEST:
        sys.stderr.write(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: make PYTHON=python3.13 …\n")
        return 1
    try:
        if not (VENV / "bin/pip").exists():
            make_venv(VENV, bundled=find_spec("ensurepip") is not None)
        own = [word for package in PACKAGES for word in ("-e", package)]
        install("installing Python packages, pinned by hash", "--require-hashes", "-r", "locks/dev.txt")
        install("linking our own packages", "--no-deps", "--no-build-isolation", *own)
    except (CannotFetch, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"\n{error}\n")
        return 1
    (VENV / ".installed").touch()
    return 0


def make_venv(venv: Path, *, bundled: bool) -> None:
    """Make an environment with pip: the one that is bundled with Python, or Debian's."""
    say(f"making {venv.name} with Python {sys.version.split()[0]}")
    shutil.rmtree(venv, ignore_errors=True)
    if bundled:
        run([sys.executable, "-m", "venv", str(venv)], "making it")
        return
    wheel = pip_wheel(say)
    run([sys.executable, "-m", "venv", "--without-pip", str(venv)], "making it")
    run([str(venv / "bin/python"), f"{wheel}/pip", "install", "-qq", "--no-index", str(wheel)], "giving it pip")


def install(what: str, *arguments: str) -> None:
    """Run pip within the environment."""
    say(what)
    run([str(VENV / "bin/python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check", *arguments], what)


def run(argv: list[str], what: str) -> None:
    """Run a command to its end, saying now and then that it still runs. Raises CalledProcessError."""
    begun = said = monotonic()
    process = subprocess.Popen(argv, cwd=CHECKOUT, env={**os.environ, "PYTHONPATH": ""})
    while (status := process.poll()) is None:
        sleep(0.05)
        if monotonic() - said > SAY_EVERY:
            said = monotonic()
            say(f"{what}: {said - begun:.0f} s")
    if status:
        raise subprocess.CalledProcessError(status, argv)


def say(text: str) -> None:
    """Show progress."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
