"""Debian's packages without installing anything: fetched with private package lists, unpacked into a cache.

`$XDG_CACHE_HOME/scaisend/debian-<name>/tree` holds what was unpacked; all checkouts share it, and it is made once. Works as any user
with apt and dpkg.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from devstack.openfolder import open_folder

STATUS = Path("/var/lib/dpkg/status")
PACKAGE = re.compile(r"^Package: (.*)$", re.MULTILINE)
Report = Callable[[str], None]


class CannotFetch(Exception):
    """The packages cannot be had here; the text says what to do."""


def cache() -> Path:
    """The folder for what is fetched once."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scaisend"


def rabbitmq_tree(report: Report) -> Path:
    """Return the root of an unpacked RabbitMQ with its Erlang, fetched when it is not there. Raises CannotFetch."""
    return unpacked("rabbitmq", ("rabbitmq-server", "erlang-base"), report, then=_relocate)


def pip_wheel(report: Report) -> Path:
    """Return Debian's wheel of pip, for a Python that came without it. Raises CannotFetch."""
    return next(unpacked("pip", ("python3-pip-whl",), report).glob("usr/share/python-wheels/pip-*.whl"))


def unpacked(name: str, wanted: Sequence[str], report: Report, *, then: Callable[[Path], None] = lambda _: None) -> Path:
    """Return the folder of the packages and what they need beyond the machine's own; made, and given to `then`, when it is not there."""
    root = open_folder(cache() / f"debian-{name}")
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "done").exists():
            _fetch(root, name, wanted, report)
            then(root / "tree")
            (root / "done").touch()
    return root / "tree"


def struck(status: str, wanted: Sequence[str]) -> str:
    """Return dpkg's status without what is wanted, and without Erlang, so that apt names it as missing where it is installed.

    Libraries that the machine has stay in it and are not fetched.
    """

    def is_kept(package: str) -> bool:
        found = PACKAGE.search(package)
        return found is None or not (found[1] in wanted or found[1].startswith("erlang-"))

    return "\n\n".join(package for package in status.split("\n\n") if is_kept(package))


def _fetch(root: Path, name: str, wanted: Sequence[str], report: Report) -> None:
    for tool in ("apt-get", "dpkg-deb"):
        if not shutil.which(tool):
            raise CannotFetch(f"{tool} is missing, {name} cannot be fetched: install it by hand (or set AMQP_URL to a RabbitMQ of yours)")
    lists, debs, tree = root / "apt", root / "debs", root / "tree"
    for folder in (lists, debs, tree):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in (lists / "state/lists/partial", lists / "cache/archives/partial", debs, tree):
        folder.mkdir(parents=True, exist_ok=True)
    tree.chmod(0o755)
    env = {**os.environ, "APT_CONFIG": str(_configuration(lists, wanted)), "LC_ALL": "C.UTF-8"}
    report(f"fetching {name}: reading package lists (private ones; nothing is installed)")
    _run(["apt-get", "-qq", "update"], debs, env)
    needed = _run(["apt-get", "-s", "--no-install-recommends", "install", *wanted], debs, env)
    packages = re.findall(r"^Inst (\S+)", needed, re.MULTILINE)
    report(f"fetching {name}: {len(packages)} Debian packages")
    _run(["apt-get", "-qq", "download", *packages], debs, env)
    report(f"unpacking {name} into the cache")
    for deb in sorted(debs.glob("*.deb")):
        _run(["dpkg-deb", "-x", str(deb), str(tree)], debs, env)
    shutil.rmtree(debs)
    shutil.rmtree(lists)


def _configuration(lists: Path, wanted: Sequence[str]) -> Path:
    """Write apt's configuration: the machine's sources and proxies, but lists, cache and status of our own and none of its hooks."""
    (lists / "status").write_text(struck(STATUS.read_text(errors="replace") if STATUS.exists() else "", wanted))
    asked = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=False).stdout
    path = lists / "apt.conf"
    path.write_text(
        "".join(f"{line}\n" for line in asked.splitlines() if line.startswith("Acquire::"))
        + f'Dir::State "{lists}/state";\nDir::State::status "{lists}/status";\nDir::Cache "{lists}/cache";\n'
        + 'Dir::Etc::parts "/nowhere";\nDir::Etc::main "nothing";\nDir::Log "/dev/null";\nDebug::NoLocking "1";\nAPT::Sandbox::User "";\n'
    )
    return path


def _relocate(tree: Path) -> None:
    """Debian's erl names /usr/lib/erlang twice and heeds no variable: write the tree's own place into it."""
    erlang = tree / "usr/lib/erlang"
    for script in (erlang / "bin/erl", *erlang.glob("erts-*/bin/erl"), *erlang.glob("bin/start")):
        if script.is_file():
            script.write_text(script.read_text().replace("/usr/lib/erlang", str(erlang)))


def _run(argv: list[str], cwd: Path, env: dict[str, str]) -> str:
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-800:]
        raise CannotFetch(f"{' '.join(argv[:2])} failed: {said}")
    return done.stdout
