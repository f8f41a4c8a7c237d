"""A real Postfix as the MX of one domain: private configuration, queue and port; no service of the system is touched.

    with Postfix.receiving("postfix.test", address="127.25.9.1", port=smtp_port, bounces_to="127.0.0.1:2525") as postfix:
        …
        postfix.mails()                # what was delivered, as files of a Maildir hold it
        postfix.log()

Recipients `ok…` have a mailbox. All others are accepted and bounced: Postfix sends its own DSN to the return path by way of `bounces_to`.
`milter` is a host:port that judges what comes in (opendkim.py); its verdict stands in Authentication-Results.

Needs root: Postfix drops privileges by itself. Its folder is below /var/tmp, which its users can enter.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.peers.program import path_of, running

_SERVICES = """\
{address}:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 5 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""

_SETTINGS = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
mail_owner = postfix
myhostname = mx.{domain}
mydestination =
local_recipient_maps =
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {folder}
virtual_mailbox_maps = regexp:{folder}/conf/mailboxes
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
# accept at RCPT what cannot be delivered: a DSN is wanted, not a 550
smtpd_reject_unlisted_recipient = no
smtpd_relay_restrictions = reject_unauth_destination
smtpd_client_connection_count_limit = 0
smtpd_peername_lookup = no
message_size_limit = 52428800
mailbox_size_limit = 0
virtual_mailbox_limit = 0
in_flow_delay = 0
notify_classes =
relayhost = {relayhost}
smtp_host_lookup = native
smtp_dns_support_level = disabled
minimal_backoff_time = 1s
queue_run_delay = 1s
inet_interfaces = loopback-only
inet_protocols = ipv4
alias_maps =
{milter}
"""


@dataclass(frozen=True, slots=True)
class Postfix:
    """One that runs."""

    address: str
    port: int
    folder: Path

    def mails(self) -> list[bytes]:
        """Return the mails delivered so far, oldest first, as Postfix wrote them (LF line ends, its own header fields on top)."""
        return [file.read_bytes() for file in sorted((self.folder / "mailbox" / "new").glob("*"), key=lambda file: file.stat().st_mtime_ns)]

    def log(self) -> str:
        """Return what it logged."""
        log = self.folder / "log"
        return log.read_text() if log.exists() else ""

    def listens(self) -> bool:
        """Return whether it greets."""
        try:
            with socket.create_connection((self.address, self.port), timeout=1) as peer:
                return peer.recv(4) == b"220 "
        except OSError:
            return False

    @staticmethod
    @contextmanager
    def receiving(domain: str, *, address: str, port: int = 0, bounces_to: str = "", milter: str = "") -> Iterator[Postfix]:
        """Run one while the block does; port 0 takes a free one. Raises RuntimeError or TimeoutError when it does not come up."""
        port = port or _free_port(address)
        folder = Path(tempfile.mkdtemp(prefix="scaisend-postfix-", dir="/var/tmp"))
        try:
            _write(folder, domain, address, port, bounces_to, milter)
            postfix = Postfix(address, port, folder)
            with running(_master(folder / "conf"), "-c", str(folder / "conf"), "-s", output=folder / "out", ready=postfix.listens):
                yield postfix
        finally:
            shutil.rmtree(folder)


def _write(folder: Path, domain: str, address: str, port: int, bounces_to: str, milter: str) -> None:
    folder.chmod(0o755)
    user, nobody = pwd.getpwnam("postfix"), pwd.getpwnam("nobody")
    for name in ("conf", "queue", "data", "mailbox"):
        (folder / name).mkdir()
    os.chown(folder / "data", user.pw_uid, user.pw_gid)
    os.chown(folder / "mailbox", nobody.pw_uid, nobody.pw_gid)
    host, _, relay_port = bounces_to.rpartition(":")
    settings = _SETTINGS.format(
        folder=folder,
        domain=domain,
        address=address,
        uid=nobody.pw_uid,
        gid=nobody.pw_gid,
        relayhost=f"[{host}]:{relay_port}" if host else "",
        milter=f"smtpd_milters = inet:{milter}\nmilter_default_action = tempfail" if milter else "",
    )
    conf = folder / "conf"
    (conf / "main.cf").write_text(settings)
    (conf / "master.cf").write_text(_SERVICES.format(address=address, port=port))
    (conf / "mailboxes").write_text(f"/^ok[^@]*@{domain.replace('.', '[.]')}$/ mailbox/\n")
    for name in ("dynamicmaps.cf", "postfix-files"):
        if (packaged := Path("/etc/postfix") / name).exists():
            shutil.copy(packaged, conf)


def _master(conf: Path) -> str:
    """Make the queue's folders and return the path of master(8), which we run ourselves: `postfix start-fg` would leave it behind."""
    done = subprocess.run([path_of("postfix"), "-c", str(conf), "check"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"postfix -c {conf} check: {done.stdout}{done.stderr or 'it says why only to a terminal'}")
    folder = subprocess.run(["postconf", "-c", str(conf), "-h", "daemon_directory"], capture_output=True, text=True, check=True).stdout
    return f"{folder.strip()}/master"


def _free_port(address: str) -> int:
    with socket.create_server((address, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
