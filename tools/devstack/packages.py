"""RabbitMQ from Debian's packages without installing anything: fetched with private package lists, unpacked into a cache.

`$XDG_CACHE_HOME/scaisend/debian-rabbitmq` holds the tree; it is shared by all checkouts and made once. Works as any user with apt and dpkg.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from devstack.openfolder import open_folder

STATUS = Path("/var/lib/dpkg/status")
WANTED = ("rabbitmq-server", "erlang-base")
OWN_PACKAGE = re.compile(r"^Package: (rabbitmq-server|erlang-.*)$", re.MULTILINE)


Report = Callable[[str], None]


class CannotFetch(Exception):
    """The packages cannot be had here; the text says what to do."""


def cache() -> Path:
    """The folder for what is fetched once."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scaisend"


def rabbitmq_tree(report: Report) -> Path:
    """Return the root of an unpacked RabbitMQ with its Erlang, fetching it when it is not there. Raises CannotFetch."""
    root = open_folder(cache() / "debian-rabbitmq")
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "done").exists():
            _fetch(root, report)
            (root / "done").touch()
    return root / "tree"


def _fetch(root: Path, report: Report) -> None:
    for tool in ("apt-get", "dpkg-deb"):
        if not shutil.which(tool):
            raise CannotFetch(f"{tool} is missing: install RabbitMQ by hand (brew install rabbitmq) or set AMQP_URL to a broker")
    lists, debs, tree = root / "apt", root / "debs", root / "tree"
    for folder in (lists, debs, tree):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in (lists / "state/lists/partial", lists / "cache/archives/partial", debs, tree):
        folder.mkdir(parents=True, exist_ok=True)
    tree.chmod(0o755)
    env = {**os.environ, "APT_CONFIG": str(_configuration(lists)), "LC_ALL": "C.UTF-8"}
    report("fetching RabbitMQ: reading package lists (private ones; nothing is installed)")
    _run(["apt-get", "-qq", "update"], debs, env)
    needed = _run(["apt-get", "-s", "--no-install-recommends", "install", *WANTED], debs, env)
    packages = re.findall(r"^Inst (\S+)", needed, re.MULTILINE)
    report(f"fetching RabbitMQ: {len(packages)} packages, about 33 MB")
    _run(["apt-get", "-qq", "download", *packages], debs, env)
    report("unpacking RabbitMQ into the cache")
    for deb in sorted(debs.glob("*.deb")):
        _run(["dpkg-deb", "-x", str(deb), str(tree)], debs, env)
    _relocate(tree)
    shutil.rmtree(debs)
    shutil.rmtree(lists)


def _configuration(lists: Path) -> Path:
    """Write apt's configuration: the machine's sources and proxies, but lists, cache and status of our own and none of its hooks.

    RabbitMQ and Erlang are struck from the status, so that apt names all of them as missing; libraries that are there are not fetched.
    """
    packages = STATUS.read_text(errors="replace").split("\n\n") if STATUS.exists() else []
    (lists / "status").write_text("\n\n".join(each for each in packages if not OWN_PACKAGE.search(each)))
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
        raise CannotFetch(f"{' '.join(argv[:2])} failed: {said}; set AMQP_URL to use a broker of your own")
    return done.stdout
