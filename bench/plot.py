"""The picture of a run: throughput over time, and the distribution of the latency."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.runs import Bench


def draw(bench: Bench, path: Path) -> None:
    """Draw what the bench measured in this call; nothing where it measured neither."""
    if not bench.curves and not bench.latencies:
        return
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5))
    for name, curve in bench.curves.items():
        rates = [(b[0], (b[1] - a[1]) / (b[0] - a[0])) for a, b in zip(curve[::5], curve[5::5], strict=False) if b[0] > a[0]]
        left.plot([at for at, _ in rates], [rate for _, rate in rates], label=name)
    left.set(title="Delivered", xlabel="seconds", ylabel="mails a second")
    left.set_ylim(bottom=0)
    for name, waits in bench.latencies.items():
        ordered = sorted(waits)
        right.plot([wait * 1000 for wait in ordered], [i / len(ordered) for i in range(len(ordered))], label=name)
    right.set(title="From the intended instant to MAIL", xlabel="ms", ylabel="share of mails", xscale="log")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
