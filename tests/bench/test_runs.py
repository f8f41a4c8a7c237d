"""A figure of the bench is a median of runs during which the machine was its own, or it is called disturbed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from bench.accounting import Usage
from bench.runs import MAX_FOREIGN, TIMES, TRIES, Bench, Taken, metered
from hypothesis import given
from hypothesis import strategies as st

BURN = """
import sys, time
for _ in sys.stdin:
    begun = time.process_time()
    while time.process_time() - begun < 0.5:
        pass
    print("burnt", flush=True)
"""
AT_LEAST = 0.4  # of half a second: /proc counts in hundredths, and the two readings are not of one instant


@contextmanager
def burner() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        process.communicate(timeout=10)


def burnt(process: subprocess.Popen[bytes]) -> bytes:
    """Have it use half a second of a processor."""
    assert process.stdin
    assert process.stdout
    process.stdin.write(b"burn\n")
    process.stdin.flush()
    return process.stdout.readline()


def bench(*, quick: bool = False) -> Bench:
    made = Bench(lambda _: None, quick, Path(), None)
    made.begin()
    return made


def taken(foreign: list[float]) -> list[Taken[int]]:
    return [Taken(n, Usage(1.0, {}, share, {})) for n, share in enumerate(foreign)]


@given(st.lists(st.floats(0, 1), min_size=TRIES, max_size=TRIES))
def test_the_first_undisturbed_run_counts_and_the_last_when_there_is_none(foreign: list[float]) -> None:
    made, runs = bench(), iter(taken(foreign))
    quiet = [n for n, share in enumerate(foreign) if share <= MAX_FOREIGN]
    assert made.quietly("line", lambda: next(runs)).value == (quiet[0] if quiet else TRIES - 1)
    assert len(list(runs)) == (TRIES - 1 - quiet[0] if quiet else 0)
    assert made.disturbed == ([] if quiet else [f"line: {foreign[-1]:.0%} elsewhere"])


def test_a_part_that_has_taken_long_repeats_nothing() -> None:
    made, runs = bench(), iter(taken([0.2, 0.0]))
    made.repeat_until = monotonic() - 1
    assert made.quietly("line", lambda: next(runs)).value == 0
    assert made.disturbed == ["line: 20% elsewhere"]


def test_several_runs_are_reported_as_their_median_and_one_by_one() -> None:
    made, runs = bench(), iter(taken([0.0, 0.9, 0.0, 0.0]))
    values = [float(each.value) for each in made.several("line", lambda: next(runs))]
    made.note_medians(wait_ms=values)
    assert made.keys == {"wait_ms": 2.0, "wait_ms_runs": [0.0, 2.0, 3.0]}
    assert made.disturbed == []
    assert (made.times, bench(quick=True).times) == (TIMES, 1)


def test_cpu_of_processes_that_are_not_measured_is_foreign() -> None:
    with burner() as process:
        usage = metered({"load": [-os.getpid()]}, lambda: burnt(process)).usage
    assert usage.foreign * usage.wall * (os.cpu_count() or 1) > AT_LEAST


def test_cpu_of_a_measured_process_is_its_group_s() -> None:
    with burner() as process:
        found = metered({"burner": [process.pid], "load": [-os.getpid()]}, lambda: burnt(process))
    assert found.value == b"burnt\n"
    assert found.usage.cpu["burner"] > AT_LEAST
    assert found.usage.processes == {"burner": 1, "load": 1}
