"""`python -m bench [PART …]`: measure, print a table, write bench/results/latest.json and latest.png."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from bench.house import commit
from bench.parts import PARTS
from bench.plot import draw
from bench.runs import Bench
from devstack import packages

HERE = Path(__file__).parent


def main() -> int:
    """Run the parts in their order; earlier results of other parts are kept in latest.json."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one or more of {', '.join(PARTS)}; all without")
    parser.add_argument("--quick", action="store_true", help="small numbers: to see that it works, not to quote")
    chosen = parser.parse_args()
    if wrong := [part for part in chosen.parts if part not in PARTS]:
        parser.error(f"no part {', '.join(wrong)}; there are {', '.join(PARTS)}")
    begun = monotonic()

    def report(text: str) -> None:
        sys.stdout.write(f"[{monotonic() - begun:6.1f} s] {text}\n")
        sys.stdout.flush()

    results = HERE / "results"
    results.mkdir(exist_ok=True)
    latest = results / "latest.json"
    known = json.loads(latest.read_text()) if latest.exists() else {}
    bench = Bench(report, chosen.quick, results, _haraka(report), keys=dict(known.get("keys", {})))
    runs = dict(known.get("runs", {}))
    for part in chosen.parts or list(PARTS):
        report(f"{part}: {(PARTS[part].__doc__ or '').strip()}")
        before = len(bench.disturbed)
        bench.begin()
        PARTS[part](bench)
        runs[part] = {
            "commit": commit(),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "quick": chosen.quick,
            "disturbed": bench.disturbed[before:],
        }
        latest.write_text(json.dumps({"commit": commit(), "runs": runs, "keys": bench.keys}, indent=2) + "\n")
    draw(bench, results / "latest.png")
    sys.stdout.write("\n" + "".join(f"{key:<36} {json.dumps(value)}\n" for key, value in bench.keys.items()))
    for each in bench.disturbed:
        sys.stdout.write(f"disturbed  {each}\n")
    return 0


def _haraka(report) -> Path | None:  # type: ignore[no-untyped-def]
    """Install Haraka into the cache once; None where npm is not there."""
    folder = packages.cache() / "haraka"
    modules = folder / "node_modules"
    if not (modules / "Haraka").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            (folder / name).write_bytes((HERE / "haraka" / name).read_bytes())
        report("installing Haraka (npm, by lock file)")
        try:
            done = subprocess.run(
                ["npm", "ci", "--omit=optional", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, text=True, check=False
            )
        except FileNotFoundError:
            report("npm is missing: Haraka is left out")
            return None
        if done.returncode:
            report(f"Haraka is left out: {done.stderr.strip()[-300:]}")
            return None
    return modules


if __name__ == "__main__":
    sys.exit(main())
