"""The demo tenant: made as an operator would make it, with the command line, its domain verified through the sandbox's DNS."""

from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from devstack.packages import Report
from devstack.settings import DEMO_DOMAIN, INBOUND_NAME, environment, write_private

TENANT = "demo"


class CommandFailed(Exception):
    """`scaisend …` said no; the text holds what it said."""


def scaisend(place: Path, *arguments: str) -> Any:
    """Run the command line as the administrator; return its JSON. Raises CommandFailed."""
    done = subprocess.run(
        [sys.executable, "-m", "scaisend_common.cli", "--json", *arguments],
        env=environment(place),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CommandFailed(f"scaisend {' '.join(arguments)}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return json.loads(done.stdout) if done.stdout.strip() else None


def seed(place: Path, database: str, report: Report) -> str:
    """Make the demo partner, tenant, domain and key; return the key. It is shown once, so it is kept here, for this database."""
    path, mark = place / "demo.json", sha256(database.encode()).hexdigest()
    if path.exists() and (kept := json.loads(path.read_text())).get("database") == mark:
        return str(kept["api_key"])
    report("making the demo tenant")
    (place / "verified").unlink(missing_ok=True)
    scaisend(place, "partner", "create", TENANT, "--if-missing")
    scaisend(place, "tenant", "create", TENANT, "--partner", TENANT, "--if-missing")
    scaisend(place, "domain", "create", TENANT, DEMO_DOMAIN, "--if-missing")
    records = scaisend(place, "domain", "dns", TENANT, DEMO_DOMAIN)
    published = [{"name": each["name"], "type": each["type"], "value": each["value"]} for each in records]
    published.append({"name": INBOUND_NAME, "type": "A", "value": "127.0.0.1"})
    (place / "records.json").write_text(json.dumps(published, indent=1))
    key = str(scaisend(place, "key", "create", TENANT, "--name", TENANT)["api_key"])
    write_private(path, json.dumps({"database": mark, "api_key": key}))
    return key


def verify(place: Path, report: Report) -> None:
    """Have the domain looked up, once; the sandbox must be answering."""
    if not (place / "verified").exists():
        report(f"verifying {DEMO_DOMAIN} by its DNS records")
        scaisend(place, "domain", "verify", TENANT, DEMO_DOMAIN)
        (place / "verified").touch()
