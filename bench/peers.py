"""The peers: private Postfix with OpenDKIM over a unix socket, and Haraka with two processes and its DKIM plugin.

No system service is touched.

Both relay everything to one smtp-sink: they are spared the look-ups that ScaiSend makes.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

HERE = Path(__file__).parent
SELECTOR = "bench"


@dataclass(frozen=True, slots=True)
class Peer:
    """A running peer: where it takes mail, and the root pids of its process groups."""

    name: str
    port: int
    groups: dict[str, list[int]]


def missing(*programs: str) -> list[str]:
    """Which of these programs are not installed."""
    return [program for program in programs if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")]


def new_key(folder: Path) -> tuple[Path, str]:
    """Write an RSA-2048 key as PEM; return its path and the public key's PEM."""
    key = generate_private_key(public_exponent=65537, key_size=2048)
    path = folder / "dkim.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    path.chmod(0o600)
    return path, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@contextmanager
def postfix(folder: Path, port: int, sink: str, sender_domain: str) -> Iterator[Peer]:
    """Postfix with OpenDKIM, production durability, one relay host; `folder` must be enterable by the user postfix."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    milter = _opendkim(folder, sender_domain)
    config, queue, data = folder / "etc", folder / "spool", folder / "data"
    for each in (config, queue, data):
        each.mkdir(exist_ok=True)
    shutil.copy(
        "/usr/share/postfix/main.cf.dist" if Path("/usr/share/postfix/main.cf.dist").exists() else "/etc/postfix/main.cf",
        config / "main.cf",
    )
    host, _, sink_port = sink.partition(":")
    settings = {
        "queue_directory": str(queue),
        "data_directory": str(data),
        "mail_owner": "postfix",
        "myhostname": "peer.bench.test",
        "mydestination": "",
        "mynetworks": "127.0.0.0/8",
        "inet_interfaces": "127.0.0.1",
        "inet_protocols": "ipv4",
        "relayhost": f"[{host}]:{sink_port}",
        "in_flow_delay": "0",
        "default_process_limit": "100",
        "smtpd_peername_lookup": "no",
        "smtp_host_lookup": "native",
        "maillog_file": str(folder / "mail.log"),
        "maillog_file_prefixes": str(folder),
        "smtpd_relay_restrictions": "permit_mynetworks, reject",
        "alias_maps": "",
        "alias_database": "",
        "smtpd_milters": f"unix:{folder}/dkim/socket",
        "milter_default_action": "tempfail",
        "compatibility_level": "3.6",
        "smtp_tls_security_level": "none",
        "smtpd_tls_security_level": "none",
        "anvil_rate_time_unit": "60s",
        "smtpd_client_connection_count_limit": "0",
    }
    (config / "main.cf").write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
    master = Path("/usr/share/postfix/master.cf.dist")
    lines = (master if master.exists() else Path("/etc/postfix/master.cf")).read_text().splitlines()
    kept = [
        line for line in lines if line and not line.startswith("#") and line.split()[0] not in {"smtp", "submission", "smtps", "postlog"}
    ]
    kept = [line for i, line in enumerate(kept) if not line.startswith(" ") or "pipe" not in "".join(kept[max(0, i - 1)])]
    kept = [line.replace("  y  ", "  n  ") for line in kept]
    kept.append(f"127.0.0.1:{port} inet n - n - - smtpd")
    kept.append("smtp unix - - n - - smtp")
    kept.append("postlog unix-dgram n - n - 1 postlogd")
    (config / "master.cf").write_text("\n".join(kept) + "\n")
    uid = pwd.getpwnam("postfix").pw_uid
    os.chown(data, uid, -1)
    subprocess.run(["postfix", "-c", str(config), "set-permissions"], check=False, capture_output=True)
    started = subprocess.run(["postfix", "-c", str(config), "start"], check=False, capture_output=True, text=True)
    try:
        if started.returncode:
            raise RuntimeError(f"postfix did not start: {started.stderr}")
        _wait_port(port)
        pid = int((queue / "pid/master.pid").read_text())
        yield Peer("postfix", port, {"postfix": [pid], "opendkim": [milter.pid]})
    finally:
        subprocess.run(["postfix", "-c", str(config), "stop"], check=False, capture_output=True)
        milter.terminate()
        milter.wait(10)


def _opendkim(folder: Path, domain: str) -> subprocess.Popen[bytes]:
    place = folder / "dkim"
    place.mkdir(exist_ok=True)
    place.chmod(0o755)
    key, _ = new_key(place)
    (place / "opendkim.conf").write_text(
        f"Mode s\nDomain {domain}\nSelector {SELECTOR}\nKeyFile {key}\nSocket local:{place}/socket\nUMask 000\n"
        "Canonicalization relaxed/relaxed\nSyslog no\nBackground no\nRequireSafeKeys no\nInternalHosts 127.0.0.0/8\n"
    )
    milter = subprocess.Popen(["opendkim", "-f", "-x", str(place / "opendkim.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = monotonic() + 10
    while not (place / "socket").exists():
        if monotonic() > deadline or milter.poll() is not None:
            raise RuntimeError("opendkim did not start")
        sleep(0.05)
    return milter


@contextmanager
def haraka(folder: Path, port: int, sink: str, sender_domain: str, modules: Path) -> Iterator[Peer]:
    """Haraka as two processes; `modules` is a node_modules folder installed from bench/haraka."""
    config, plugins = folder / "config", folder / "plugins"
    shutil.copytree(modules / "Haraka/config", config)
    keys = config / "dkim" / sender_domain
    for each in (keys, plugins, folder / "queue"):
        each.mkdir(parents=True, exist_ok=True)
    link = folder / "node_modules"
    if not link.exists():
        link.symlink_to(modules)
    key, public = new_key(folder)
    shutil.move(key, keys / "private")
    (keys / "selector").write_text(SELECTOR)
    (keys / "public").write_text(public)
    (config / "smtp.ini").write_text(f"listen=127.0.0.1:{port}\nnodes=2\n")
    (config / "me").write_text("haraka.bench.test\n")
    (config / "plugins").write_text("bench_relay\nbench_mx\ndkim\n")
    (config / "loglevel").write_text("notice\n")
    (config / "dkim.ini").write_text("[sign]\nenabled=true\n[verify]\nenabled=false\n")
    (config / "outbound.ini").write_text("concurrency_max=100\nenable_tls=false\n")
    host, _, sink_port = sink.partition(":")
    (plugins / "bench_relay.js").write_text(
        "exports.hook_rcpt = function (next, connection) { next(OK) }\n"
        "exports.hook_connect = function (next, connection) { connection.relaying = true; next() }\n"
    )
    (plugins / "bench_mx.js").write_text(
        f"exports.hook_get_mx = function (next) {{ next(OK, {{ priority: 0, exchange: '{host}', port: {sink_port} }}) }}\n"
    )
    log = (folder / "haraka.log").open("wb")
    process = subprocess.Popen(
        ["node", str(modules / "Haraka/bin/haraka"), "-c", str(folder)], stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
    )
    try:
        _wait_port(port)
        yield Peer("haraka", port, {"haraka": [process.pid]})
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
        log.close()


def _wait_port(port: int) -> None:
    deadline = monotonic() + 15
    while monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            sleep(0.1)
        else:
            return
    raise RuntimeError(f"nothing listens on port {port}")
