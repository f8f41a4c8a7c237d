"""Folders that the servers' user can enter. As root the servers run as somebody without rights: Postgres refuses root, and a Redis or
a RabbitMQ that anybody on the machine can reach must not be able to write as root.
"""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

UNPRIVILEGED = 65534  # nobody
OPEN_TO_ALL = Path("/var/tmp")  # noqa: S108 - a folder of our own in it, checked to be ours


def servers_user() -> int | None:
    """The uid that servers run as: nobody's when we are root, else our own (None)."""
    return UNPRIVILEGED if os.geteuid() == 0 else None


def is_open(path: Path) -> bool:
    """Whether everybody can enter all folders down to `path`, itself included where it is there already."""
    resolved = path.resolve()
    return all(folder.stat().st_mode & 0o001 for folder in (resolved, *resolved.parents) if folder.exists())


def open_folder(path: Path) -> Path:
    """Make the folder where it stands, or, where the servers' user could not enter it, in /var/tmp and linked from there.

    Returns its real path. Raises PermissionError where somebody else has taken the name in /var/tmp.
    """
    if not path.is_symlink() and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        if servers_user() is None or is_open(path.parent):
            path.mkdir(mode=0o755, exist_ok=True)
        else:
            path.symlink_to(OPEN_TO_ALL / f"scaisend-{sha256(str(path.absolute()).encode()).hexdigest()[:16]}")
    folder = Path(os.readlink(path)) if path.is_symlink() else path
    folder.mkdir(mode=0o755, exist_ok=True)  # also a link whose folder was swept away
    if folder.parent == OPEN_TO_ALL and (folder.is_symlink() or folder.stat().st_uid != os.geteuid()):
        raise PermissionError(f"{folder} is somebody else's: remove it, or {path}")
    return folder.resolve()


def hand_over(folder: Path) -> Path:
    """Make a folder that belongs, with all in it, to the servers' user; return it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    user = servers_user()
    if user is not None and folder.stat().st_uid != user:
        for inner, folders, files in os.walk(folder):
            for each in (inner, *(os.path.join(inner, name) for name in (*folders, *files))):
                os.chown(each, user, user, follow_symlinks=False)
    return folder
