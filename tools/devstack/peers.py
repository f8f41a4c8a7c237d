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
    """Install what is missing, where that is possible; the tests themselves say what they miss (and with CI=true that fails them)."""
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
        # a source of the machine's that does not answer is no reason to give up: what matters is whether the packages come
        subprocess.run(["apt-get", "update", "-qq"], env=environment, capture_output=True, check=False)
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
        done = subprocess.run(install, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(f"{' '.join(install)} failed, the tests that use them will be skipped: {done.stderr.strip()[-1000:]}\n")
    return 0


@contextmanager
def nothing_starts(policy: Path = POLICY) -> Iterator[None]:
    """Have Debian's packages start no service while the block lasts (policy-rc.d(8)); what stood there before stands there after."""
    before = policy.with_name(f"{policy.name}.before-scaisend")
    if policy.exists():
        policy.rename(before)
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()
        if before.exists():
            before.rename(policy)


if __name__ == "__main__":
    sys.exit(main())
