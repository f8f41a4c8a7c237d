"""Runs: each part measures several and reports medians; one during which others used the machine is repeated."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count as counting
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Generic, Protocol, TypeVar

from bench import accounting
from bench.accounting import Usage

MAX_FOREIGN = 0.14
TRIES = 5
TIMES = 3
REPEAT_SECONDS = 420  # into a part, after which no run is repeated: a part shall take nine minutes, on a machine with neighbours too

T = TypeVar("T")
Report = Callable[[str], None]


class Metered(Protocol):
    """A run that knows who used the machine meanwhile."""

    @property
    def usage(self) -> Usage: ...


M = TypeVar("M", bound=Metered)


@dataclass(frozen=True, slots=True)
class Taken(Generic[T]):
    """What a run gave."""

    value: T
    usage: Usage


def metered(groups: Mapping[str, Iterable[int]], act: Callable[[], T]) -> Taken[T]:
    """Do it, and see what CPU these groups of processes used and what others did."""
    first = accounting.read(groups)
    value = act()
    return Taken(value, accounting.between(first, accounting.read(groups)))


@dataclass(slots=True)
class Bench:
    """What parts share: results so far, curves for the plot, how the runs went. `repeat_until`: on the monotonic clock."""

    report: Report
    quick: bool
    folder: Path
    modules: Path | None
    keys: dict[str, object] = field(default_factory=dict)
    curves: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    latencies: dict[str, list[float]] = field(default_factory=dict)
    disturbed: list[str] = field(default_factory=list)
    numbers: counting[int] = field(default_factory=lambda: counting(0, 1_000_000))
    repeat_until: float = 0.0

    @property
    def times(self) -> int:
        """How many runs of each kind."""
        return 1 if self.quick else TIMES

    def begin(self) -> None:
        """A part begins."""
        self.repeat_until = monotonic() + REPEAT_SECONDS

    def note(self, **found: object) -> None:
        """Add keys to the result and show them."""
        for key, value in found.items():
            self.keys[key] = round(value, 3) if isinstance(value, float) else value
            self.report(f"  {key} = {json.dumps(self.keys[key])}")

    def note_medians(self, **runs: list[float]) -> None:
        """Add the median of several runs under each key, and the runs beside it."""
        for key, values in runs.items():
            self.note(**{key: median(values), f"{key}_runs": [round(value, 2) for value in values]})

    def quietly(self, what: str, run: Callable[[], M]) -> M:
        """Run until nothing else took much of the machine, TRIES times at most; then it is `disturbed`."""
        for attempt in range(1, TRIES + 1):
            done = run()
            if done.usage.foreign <= MAX_FOREIGN:
                return done
            self.report(f"    disturbed: {done.usage.foreign:.0%} of the machine went elsewhere (try {attempt} of {TRIES})")
            if monotonic() > self.repeat_until:
                break
        self.disturbed.append(f"{what}: {done.usage.foreign:.0%} elsewhere")
        return done

    def several(self, what: str, run: Callable[[], M]) -> list[M]:
        """So many runs as make a median, each undisturbed if that can be had."""
        return [self.quietly(what, run) for _ in range(self.times)]
