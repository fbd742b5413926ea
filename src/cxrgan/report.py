"""A run's own numbers as pictures; reads what is written, computes nothing anew."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrgan.files import replacing

GENERATOR, DISCRIMINATOR = "#c2410c", "#1d4ed8"


def plot_losses(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Lines of metrics.jsonl -> a PNG: both losses, and D(x) and D(G(z)), against the iterations."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    _curve(above, rows, "loss_g", "generator", GENERATOR)
    _curve(above, rows, "loss_d", "discriminator", DISCRIMINATOR)
    above.set_ylabel("loss")
    above.legend(loc="upper right")
    _curve(below, rows, "d_real", "D(x), real", DISCRIMINATOR)
    _curve(below, rows, "d_fake", "D(G(z)), fake", GENERATOR)
    below.set_ylabel("probability of real")
    below.set_ylim(-0.03, 1.03)
    below.set_xlabel("iteration")
    below.legend(loc="center right")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _curve(axes: Axes, rows: Sequence[Mapping[str, Any]], name: str, label: str, colour: str) -> None:
    """Every value faintly, and over it the mean of a window of a fiftieth of the run."""
    steps = np.array([row["step"] for row in rows if row.get(name) is not None])
    values = np.array([row[name] for row in rows if row.get(name) is not None])
    axes.plot(steps, values, color=colour, alpha=0.25, linewidth=0.6)
    window = max(1, len(values) // 50)
    if len(values) >= window:
        means = np.convolve(values, np.ones(window) / window, mode="valid")
        axes.plot(steps[window // 2 :][: len(means)], means, color=colour, linewidth=1.6, label=label)
