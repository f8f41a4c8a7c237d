"""Failpoints: places, named where responsibility is handed over, at which a test makes the process fail.

Inert (one look into an empty dict) unless `SCAISEND_FAILPOINTS` names them, which production refuses. Several are parted by commas:

    name=kill          die at once, as by kill -9
    name=raise         raise FailpointReached
    name=sleep:0.5     block the whole process for so many seconds
    name=hang          block it for good

`*N` after the action: only the first N times that the place is passed; `@N`: only the N-th time and after.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from dataclasses import dataclass

_FORM = re.compile(
    r"(?P<name>[\w.-]+)=(?P<action>kill|raise|hang|sleep:(?P<seconds>\d+(?:\.\d+)?))(?:@(?P<first>\d+))?(?:\*(?P<times>\d+))?"
)


class FailpointReached(Exception):
    """A failpoint with the action `raise` was passed."""


@dataclass(slots=True)
class Failpoint:
    """What happens at one place: from its `first` passing on, `times` times (None: always)."""

    name: str
    action: str
    seconds: float = 0
    first: int = 1
    times: int | None = None
    passed: int = 0


_enabled: dict[str, Failpoint] = {}


def parse(spec: str) -> list[Failpoint]:
    """Read the form above. Raises ValueError."""
    return [_parse_one(each.strip()) for each in spec.split(",") if each.strip()]


def enable(spec: str) -> None:
    """Replace the enabled failpoints by those of `spec`; an empty one disables all."""
    _enabled.clear()
    _enabled.update({point.name: point for point in parse(spec)})


def fail_here(name: str) -> None:
    """Fail as the failpoint `name` says, if it is enabled."""
    if not _enabled:
        return
    point = _enabled.get(name)
    if point is None:
        return
    point.passed += 1
    if point.passed < point.first or (point.times is not None and point.passed >= point.first + point.times):
        return
    _fail(point)


def _fail(point: Failpoint) -> None:
    sys.stderr.write(f"failpoint {point.name}: {point.action}\n")
    sys.stderr.flush()
    match point.action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "raise":
            raise FailpointReached(point.name)
        case "sleep":
            time.sleep(point.seconds)
        case _:
            while True:
                time.sleep(3600)


def _parse_one(text: str) -> Failpoint:
    form = _FORM.fullmatch(text)
    if form is None:
        raise ValueError(f"{text!r} is not name=kill|raise|sleep:SECONDS|hang, with @N or *N after it")
    return Failpoint(
        name=form["name"],
        action=form["action"].partition(":")[0],
        seconds=float(form["seconds"] or 0),
        first=int(form["first"] or 1),
        times=int(form["times"]) if form["times"] else None,
    )
