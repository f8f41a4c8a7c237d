"""Where a checkout's stack lives: `.run/`, or a folder of /var/tmp linked from there where other users cannot enter the checkout."""

from __future__ import annotations

from pathlib import Path

from devstack.openfolder import open_folder

CHECKOUT = Path(__file__).resolve().parents[2]


def place_of(checkout: Path = CHECKOUT) -> Path:
    """Return the stack's folder, made when it is not there. Raises PermissionError."""
    return open_folder(checkout / ".run")
