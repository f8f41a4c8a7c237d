"""`python -m devstack.peers`: install Postfix and OpenDKIM, which tests and bench run privately. Their services are not started.

Only as root on a machine with apt; otherwise it says so, and the tests that need them are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POLICY = Path("/usr/sbin/policy-rc.d")
PROGRAMS = {"postfix": "postfix", "opendkim": "opendkim"}
SEARCH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def main() -> int:
    """Install what is missing; 0 in any case that leaves the machine as the tests expect it."""
    missing = [package for package, program in PROGRAMS.items() if not shutil.which(program, path=SEARCH)]
    if not missing:
        return 0
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        sys.stdout.write(f"{', '.join(missing)} not installed (needs root and apt): the tests that use them will be skipped\n")
        return 0
    sys.stdout.write(f"installing {', '.join(missing)} without starting their services\n")
    sys.stdout.flush()
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with nothing_starts():
        for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *missing]):
            done = subprocess.run(["apt-get", *arguments], env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.stderr.write(f"apt-get {arguments[0]} failed: {done.stderr.strip()[-1000:]}\n")
                return 1
    return 0


@contextmanager
def nothing_starts() -> Iterator[None]:
    """Have Debian's packages start no service while the block lasts (policy-rc.d(8)); what stood there before stands there after."""
    before = (POLICY.read_bytes(), POLICY.stat().st_mode) if POLICY.exists() else None
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        if before is None:
            POLICY.unlink()
        else:
            POLICY.write_bytes(before[0])
            POLICY.chmod(before[1])


if __name__ == "__main__":
    sys.exit(main())
