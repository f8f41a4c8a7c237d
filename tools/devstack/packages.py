"""RabbitMQ from Debian's packages without installing anything: fetched with private package lists, unpacked into a cache.

`$XDG_CACHE_HOME/scaisend/rabbitmq` holds the tree; it is shared by all checkouts and made once. Works as any user with apt and dpkg.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

RABBITMQ = (
    "rabbitmq-server erlang-base erlang-asn1 erlang-crypto erlang-eldap erlang-ftp erlang-inets erlang-mnesia erlang-os-mon erlang- "
    "parsetools erlang-public-key erlang-runtime-tools erlang-snmp erlang-ssl erlang-syntax-tools erlang-tftp erlang-tools erlang-xmerl "
    "libncurses6 libtinfo6 libsctp1 libssl3 zlib1g"
).split()


class CannotFetch(Exception):
    """The packages cannot be had here; the text says what to do."""


def cache() -> Path:
    """The folder for what is fetched once."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scaisend"


def rabbitmq_tree(report: Callable[[str], None]) -> Path:
    """Return the root of an unpacked RabbitMQ with its Erlang, fetching it when it is not there. Raises CannotFetch."""
    root = cache() / "rabbitmq"
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "done").exists():
            report("fetching RabbitMQ (Debian packages, 33 MB, unpacked into the cache, not installed)")
            _fetch(root)
            (root / "done").touch()
    return root / "tree"


def _fetch(root: Path) -> None:
    for tool in ("apt-get", "dpkg-deb"):
        if not shutil.which(tool):
            raise CannotFetch(f"{tool} is missing: install RabbitMQ by hand (brew install rabbitmq) or set AMQP_URL to a broker")
    lists, debs, tree = root / "apt", root / "debs", root / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    for folder in (lists / "state/lists/partial", lists / "cache/archives/partial", debs, tree):
        folder.mkdir(parents=True, exist_ok=True)
    options = [
        f"-oDir::State={lists}/state",
        "-oDir::State::status=/var/lib/dpkg/status",
        f"-oDir::Cache={lists}/cache",
        "-oDebug::NoLocking=1",
        "-oAPT::Sandbox::User=",
        "-qq",
    ]
    _run(["apt-get", *options, "update"], cwd=debs)
    _run(["apt-get", *options, "download", *RABBITMQ], cwd=debs)
    for deb in sorted(debs.glob("*.deb")):
        _run(["dpkg-deb", "-x", str(deb), str(tree)], cwd=debs)
    _relocate(tree)
    shutil.rmtree(debs)
    shutil.rmtree(lists)


def _relocate(tree: Path) -> None:
    """Debian's erl names /usr/lib/erlang twice and heeds no variable: write the tree's own place into it."""
    erlang = tree / "usr/lib/erlang"
    for script in (erlang / "bin/erl", *erlang.glob("erts-*/bin/erl"), *erlang.glob("bin/start")):
        if script.is_file():
            text = script.read_text()
            script.write_text(text.replace("/usr/lib/erlang", str(erlang)))


def _run(argv: list[str], cwd: Path) -> None:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotFetch(
            f"{' '.join(argv[:1] + argv[-2:])} failed: {done.stderr.strip()[-500:]}; set AMQP_URL to use a broker of your own"
        )
