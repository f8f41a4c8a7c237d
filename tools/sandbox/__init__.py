"""A small internet on loopback: an authoritative DNS server, MX hosts that do as the recipient's local part says, an inbox.

As a process (`python -m sandbox --help`; `tools` on the path). It prints one JSON line when it listens, and SIGTERM stops it:

    {"dns": "127.0.0.1:5353", "smtp_port": 2525, "inbox_url": "http://127.0.0.1:8025", "pid": 4711}

In a test's own process:

    async with Sandbox(Options(receipts=tmp_path / "receipts.jsonl")) as sandbox:
        sandbox.places.dns, sandbox.places.smtp_port, sandbox.places.inbox_url
        sandbox.names.publish([Record("k1._domainkey.demo.test", "TXT", "v=DKIM1; …")])
        sandbox.mailbox.newest(to="ok@tls.test")

Services under test get SCAISEND_DNS=<dns>, SCAISEND_REMOTE_SMTP_PORT=<smtp_port>, SCAISEND_ALLOW_PRIVATE_DESTINATIONS=true.

ZONES (zones.py). tls, plain, 7bit, two-mx, implicit, nullmx, servfail, nxdomain, timeout, truncated, cname, private and postfix `.test`;
`<any>.s0.sites.test` to `<any>.s7.sites.test`: many domains on few sites, for load. All else does not exist until it is published.

CONTROL, on the inbox's port (control.py). `POST /dns` takes one record {"name", "type", "value"} or a list of them, and replaces what stood
under each (name, type) that it names; type VERB with value servfail, nxdomain, timeout or truncated breaks a name and all below it.
`DELETE /dns?name=…&type=…`, `GET /dns`, `PUT /bounce {"address": "host:port"}`, `GET /counters`, `DELETE /messages`.
"""

from sandbox.internet import Options, Places, Sandbox
from sandbox.names import Record

__all__ = ["Options", "Places", "Record", "Sandbox"]
