"""CPU and memory of groups of processes, read from /proc; what the machine did besides is `foreign`.

A group is a set of root pids with all their descendants. CPU of children that ended and were reaped counts (cutime, cstime of the living),
so a forking mail server is charged for its forks. A negative pid stands for that process alone, without children.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
CORES = os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class _Stat:
    parent: int
    cpu: float  # seconds, with reaped children
    alone: float  # seconds of itself only
    rss: int  # bytes


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at everything: CPU seconds and living processes by group, busy seconds of the machine, and when."""

    at: float
    cpu: Mapping[str, float]
    processes: Mapping[str, int]
    busy: float


@dataclass(frozen=True, slots=True)
class Usage:
    """What happened between two readings: wall seconds, CPU seconds by group, share of all cores used by others; processes at its end."""

    wall: float
    cpu: Mapping[str, float]
    foreign: float
    processes: Mapping[str, int]

    def ms_per(self, mails: int) -> dict[str, float]:
        """CPU milliseconds a mail by group."""
        return {group: seconds * 1000 / mails for group, seconds in self.cpu.items()}


def read(groups: Mapping[str, Iterable[int]]) -> Reading:
    """Look at the groups now."""
    stats = _all_stats()
    children: dict[int, list[int]] = {}
    for pid, stat in stats.items():
        children.setdefault(stat.parent, []).append(pid)
    cpu, processes = {}, {}
    for group, roots in groups.items():
        trees = [stats[pid].cpu for pid in _descendants([pid for pid in roots if pid > 0], children) if pid in stats]
        alone = [stats[-pid].alone for pid in roots if pid < 0]
        cpu[group], processes[group] = sum(trees) + sum(alone), len(trees) + len(alone)
    return Reading(monotonic(), cpu, processes, _busy())


def between(first: Reading, last: Reading) -> Usage:
    """The usage between two readings of the same groups."""
    wall = last.at - first.at
    cpu = {group: last.cpu[group] - first.cpu[group] for group in last.cpu}
    foreign = max(0.0, (last.busy - first.busy) - sum(cpu.values())) / (wall * CORES) if wall else 0.0
    return Usage(wall, cpu, foreign, last.processes)


def rss_mb(roots: Iterable[int]) -> float:
    """Resident megabytes of a group now."""
    stats = _all_stats()
    children: dict[int, list[int]] = {}
    for pid, stat in stats.items():
        children.setdefault(stat.parent, []).append(pid)
    return sum(stats[pid].rss for pid in _descendants(roots, children) if pid in stats) / 1e6


def _descendants(roots: Iterable[int], children: Mapping[int, list[int]]) -> set[int]:
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting.extend(children.get(pid, ()))
    return found


def _all_stats() -> dict[int, _Stat]:
    stats = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it ended while we looked
                continue
            user, system, user_of_children, system_of_children = (int(each) / TICK for each in fields[11:15])
            alone = user + system
            stats[int(entry.name)] = _Stat(int(fields[1]), alone + user_of_children + system_of_children, alone, int(fields[21]) * PAGE)
    return stats


def _busy() -> float:
    """Seconds that all cores together were not idle since boot."""
    fields = [int(each) for each in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields[:8]
    return (user + nice + system + irq + softirq + steal) / TICK
