"""OpenDKIM as a verifying milter that asks our DNS: the second opinion on our signatures, by other people's code on both sides.

    with OpenDkim.verifying(dns=sandbox.places.dns) as milter, Postfix.receiving(…, milter=milter.address) as postfix:
        …   # Authentication-Results of the delivered mail: dkim=pass, with the key that the DNS server at `dns` publishes

Its resolver (libunbound) forwards every question to `dns`.
"""

from __future__ import annotations

import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path

from tests.peers.program import path_of, running

_SETTINGS = """\
Mode v
Socket inet:{port}@127.0.0.1
Syslog no
Background no
AuthservID mx.test
AlwaysAddARHeader yes
ResolverConfiguration {folder}/unbound.conf
UserID nobody
RequireSafeKeys no
InternalHosts 192.0.2.1
"""

# "deny" for a whole zone would be local: .test is answered by unbound itself unless told not to (RFC 6761)
_RESOLVER = """\
server:
  do-not-query-localhost: no
  module-config: "iterator"
  local-zone: "test." transparent
  do-ip6: no
forward-zone:
  name: "."
  forward-addr: {host}@{port}
"""


@dataclass(frozen=True, slots=True)
class OpenDkim:
    """One that runs: `address` is what a milter client is given."""

    address: str
    folder: Path

    @staticmethod
    @contextmanager
    def verifying(*, dns: str) -> Iterator[OpenDkim]:
        """Run one while the block does; `dns` is host:port. Raises RuntimeError or TimeoutError when it does not come up."""
        folder = Path(tempfile.mkdtemp(prefix="scaisend-opendkim-", dir="/var/tmp"))
        folder.chmod(0o755)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        host, _, dns_port = dns.rpartition(":")
        (folder / "conf").write_text(_SETTINGS.format(port=port, folder=folder))
        (folder / "unbound.conf").write_text(_RESOLVER.format(host=host, port=dns_port))
        try:
            command = (path_of("opendkim"), "-f", "-x", str(folder / "conf"))
            # SIGTERM takes libmilter five seconds, and there is nothing to save
            with running(*command, output=folder / "out", ready=lambda: _listens(port), ends_by="KILL"):
                yield OpenDkim(f"127.0.0.1:{port}", folder)
        finally:
            shutil.rmtree(folder)


def dkim_results(mail: bytes) -> list[str]:
    """Return the verdicts (`pass`, `fail`, …) of all Authentication-Results, none where nobody looked."""
    fields = message_from_bytes(mail).get_all("Authentication-Results", [])
    return [verdict for text in fields for verdict in re.findall(r"\bdkim=(\w+)", str(text))]


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
