"""A private RabbitMQ: a broker with its own cookie, node name, ports and epmd, and calls of its HTTP interface."""

from __future__ import annotations

import json
import os
import shutil
from base64 import b64encode
from contextlib import suppress
from pathlib import Path
from urllib.request import Request, urlopen

from devstack import packages
from devstack.openfolder import hand_over, servers_user
from devstack.process import pid_of, spawn
from devstack.programs import CannotStart, installed, plain_environment

WAL_BYTES = 4 * 1024 * 1024  # what a full log holds is written out at once, and others wait for it: 60 to 100 ms with 64 MiB
FIRST = -15  # its nice value: every mail waits for the broker twice
FOLDER = "lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"  # Debian's /usr/sbin wrapper refuses all but root and rabbitmq


def start_rabbitmq(place: Path, ports: dict[str, int], report: packages.Report) -> None:
    """Start the broker and the epmd that it needs; it takes some seconds until it answers. Raises CannotStart, CannotFetch."""
    if program := installed(f"/usr/{FOLDER}", "/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server"):
        tree = None
    else:
        tree = packages.rabbitmq_tree(report)
        program = next(tree.glob(f"usr/{FOLDER}"), None)
        if program is None:
            raise CannotStart(f"no RabbitMQ in {tree}: delete that folder and try again")
    data = hand_over(place / "rabbitmq")
    (data / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{ports['amqp']}\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {ports['amqp_admin']}\n"
        "management_agent.disable_metrics_collector = true\nloopback_users.guest = true\nvm_memory_high_watermark.relative = 0.4\n"
        "disk_free_limit.absolute = 200MB\nlog.file = false\nlog.console = true\nlog.console.level = warning\n"
        f"raft.wal_max_size_bytes = {WAL_BYTES}\n"
    )
    (data / "enabled_plugins").write_text("[rabbitmq_management].\n")
    (data / "env.conf").write_text("")
    env = broker_environment(place, ports, tree)
    (data / "environment.json").write_text(json.dumps(env))
    epmd = shutil.which("epmd", path=env["PATH"])
    if epmd is None:
        raise CannotStart("RabbitMQ is here, but Erlang's epmd is not on the PATH")
    if not pid_of(place, "epmd"):
        argv = [epmd, "-port", str(ports["epmd"]), "-address", "127.0.0.1"]
        spawn(argv, place=place, name="epmd", env=env, user=servers_user(), cwd=data)
    let_go_first(spawn([program], place=place, name="rabbitmq", env=env, user=servers_user(), cwd=data))


def let_go_first(pid: int) -> None:
    """Give a process the processor before others where it is short; only root may, for anybody else nothing happens.

    Where the kernel schedules sessions as groups (`sched_autogroup`), a nice value counts within its session alone: the group has its own.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, FIRST)
        Path(f"/proc/{pid}/autogroup").write_text(str(FIRST))


def broker_environment(place: Path, ports: dict[str, int], tree: Path | None) -> dict[str, str]:
    """The environment in which the broker runs, kept in `rabbitmq/environment.json` for whoever calls its rabbitmqctl."""
    data = place / "rabbitmq"
    env = plain_environment(data) | {
        "RUNNING_UNDER_SYSTEMD": "1",  # the script then becomes the broker instead of watching it
        "RABBITMQ_NODENAME": "scaisend@localhost",  # by this name it finds its data, also when its ports were moved; its epmd is its own
        "RABBITMQ_DIST_PORT": str(ports["erlang"]),
        "ERL_EPMD_PORT": str(ports["epmd"]),
        "RABBITMQ_MNESIA_BASE": str(data / "mnesia"),
        "RABBITMQ_LOG_BASE": str(data / "log"),
        "RABBITMQ_CONFIG_FILE": str(data / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(data / "enabled_plugins"),
        "RABBITMQ_CONF_ENV_FILE": str(data / "env.conf"),
    }
    if (os.cpu_count() or 1) <= 4:  # measured: 326 to 196 µs of broker a mail on two cores
        env["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"] = "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none"
    if tree:
        libraries = [str(path) for root in (tree / "usr/lib", tree / "lib") for path in root.glob("*-linux-gnu")]
        env |= {"PATH": f"{tree}/usr/lib/erlang/bin:{env['PATH']}", "LD_LIBRARY_PATH": ":".join(libraries)}
    return env


def rabbitmq_env(place: Path) -> dict[str, str]:
    """The environment that the place's broker was started in: for its rabbitmqctl."""
    return dict(json.loads((place / "rabbitmq/environment.json").read_text()))


def create_vhost(admin_url: str, name: str) -> None:
    """Make a vhost that the guest user may use; making it twice is no error."""
    call_rabbitmq(admin_url, "PUT", f"/api/vhosts/{name}")
    call_rabbitmq(admin_url, "PUT", f"/api/permissions/{name}/guest", {"configure": ".*", "write": ".*", "read": ".*"})


def delete_vhost(admin_url: str, name: str) -> None:
    """Remove a vhost with all its queues."""
    call_rabbitmq(admin_url, "DELETE", f"/api/vhosts/{name}")


def call_rabbitmq(admin_url: str, method: str, path: str, body: object = None) -> bytes:
    """One call of the broker's HTTP interface, as guest."""
    request = Request(
        admin_url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Authorization": "Basic " + b64encode(b"guest:guest").decode()},
    )
    with urlopen(request, timeout=30) as answer:
        return bytes(answer.read())
