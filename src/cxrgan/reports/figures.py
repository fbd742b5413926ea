"""A run's own numbers as pictures; reads what is written, computes nothing anew."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrgan.files import replacing
from cxrgan.runs.log import History

GENERATOR, DISCRIMINATOR = "#c2410c", "#1d4ed8"


PLOTTED = ("loss_g", "loss_d", "d_real", "d_fake", "margin", "frechet_distance", "frechet_floor", "precision", "recall")
"""The curves of a run's plots."""


def plot_losses(history: History, path: Path, *, relativistic: bool) -> None:
    """The log of a run -> a PNG: both losses, and D(x) and D(G(z)), against the iterations.

    A relativistic game knows differences of logits only: their mean, the margin, stands there instead.
    """
    figure = Figure(figsize=(9, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    _curve(above, history, "loss_g", "generator", GENERATOR)
    _curve(above, history, "loss_d", "discriminator", DISCRIMINATOR)
    above.set_ylabel("loss")
    above.legend(loc="upper right")
    if relativistic:
        _curve(below, history, "margin", "D(x) - D(G(z)), logits", DISCRIMINATOR)
        below.axhline(0, color="grey", linestyle="--", linewidth=0.8)
        below.set_ylabel("margin")
    else:
        _curve(below, history, "d_real", "D(x), real", DISCRIMINATOR)
        _curve(below, history, "d_fake", "D(G(z)), fake", GENERATOR)
        below.set_ylabel("probability of real")
        below.set_ylim(-0.03, 1.03)
    below.set_xlabel("iteration")
    below.legend(loc="center right")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def plot_metrics(history: History, path: Path) -> None:
    """Measurements in the log of a run -> a PNG: Frechet distance with its floor, precision and recall."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    _line(above, history, "frechet_distance", "generated", "o-", GENERATOR)
    _line(above, history, "frechet_floor", "floor: other real images", "--", "grey")
    ruler = history.best.row.get("features") if history.best.row else None
    above.set_ylabel(f"Frechet distance ({ruler})" if ruler else "Frechet distance")
    above.set_ylim(bottom=0)
    above.legend(loc="upper right")
    _line(below, history, "precision", "precision", "o-", GENERATOR)
    _line(below, history, "recall", "recall", "o-", DISCRIMINATOR)
    below.set_ylim(-0.03, 1.03)
    below.set_xlabel("iteration")
    below.legend(loc="upper right")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _curve(axes: Axes, history: History, name: str, label: str, colour: str) -> None:
    """The values faintly, and over them the mean of a window of a fiftieth of the run; broken where lines lack."""
    window = max(1, len(history.points(name)) // 50)
    for stretch in history.stretches(name):
        steps, values = np.array(stretch).T
        axes.plot(steps, values, color=colour, alpha=0.25, linewidth=0.6)
        if len(values) >= window:
            means = np.convolve(values, np.ones(window) / window, mode="valid")
            axes.plot(steps[window // 2 :][: len(means)], means, color=colour, linewidth=1.6, label=label)
        label = "_nolegend_"


def _line(axes: Axes, history: History, name: str, label: str, style: str, colour: str) -> None:
    points = history.points(name)
    axes.plot([step for step, _ in points], [value for _, value in points], style, color=colour, label=label)
