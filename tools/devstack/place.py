"""Where a checkout's stack lives: `.run/`, or a folder of /var/tmp linked from there where other users cannot enter the checkout."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
OPEN_TO_ALL = Path("/var/tmp")  # noqa: S108 - a folder of our own in it, named by the checkout


def place_of(checkout: Path = CHECKOUT) -> Path:
    """Return the stack's folder, made when it is not there. As root the servers run as another user, who must be able to reach it."""
    run = checkout / ".run"
    if not run.is_symlink() and not run.exists():
        if os.geteuid() == 0 and not all(parent.stat().st_mode & 0o001 for parent in (checkout, *checkout.parents)):
            elsewhere = OPEN_TO_ALL / f"scaisend-{sha256(str(checkout).encode()).hexdigest()[:16]}"
            elsewhere.mkdir(mode=0o755, exist_ok=True)
            run.symlink_to(elsewhere)
        else:
            run.mkdir(mode=0o755)
    return run.resolve()
