"""The panels of a run as PNG: losses.png and metrics.png, drawn anew while it trains."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cxrgan.files import replacing
from cxrgan.reports.panels import COLOURS, DISTANCE, LOSSES, MARGIN, PRECISION_RECALL, PROBABILITY, Panel, game, names
from cxrgan.runs.log import History

PLOTTED = names(LOSSES, PROBABILITY, MARGIN, DISTANCE, PRECISION_RECALL)
"""The curves of both pictures."""


def plot_losses(history: History, path: Path, *, relativistic: bool) -> None:
    """The log of a run -> a PNG: both losses, and D(x) and D(G(z)), or their margin, against the steps."""
    figure, above, below = _two_axes()
    shown = game(relativistic=relativistic)
    for axes, panel in ((above, LOSSES), (below, shown)):
        for series in panel.series:
            _curve(axes, history, series.name, series.label, COLOURS[series.role])
        _finish(axes, panel)
    if shown is MARGIN:
        below.axhline(0, color="grey", linestyle="--", linewidth=0.8)
    _save(figure, path)


def plot_metrics(history: History, path: Path) -> None:
    """Measurements in the log of a run -> a PNG: Frechet distance with its floor, precision and recall."""
    figure, above, below = _two_axes()
    for axes, panel in ((above, DISTANCE), (below, PRECISION_RECALL)):
        for series in panel.series:
            style = "--" if series.role == "floor" else "o-"
            points = np.array(history.points(series.name)).reshape(-1, 2)
            axes.plot(points[:, 0], points[:, 1], style, color=COLOURS[series.role], label=series.label)
        _finish(axes, panel)
    above.set_ylim(bottom=0)
    if history.best.row and history.best.row.get("features"):
        above.set_ylabel(f"{DISTANCE.title} ({history.best.row['features']})")
    _save(figure, path)


def _two_axes() -> tuple[Figure, Axes, Axes]:
    figure = Figure(figsize=(9, 6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    below.set_xlabel("step")
    return figure, above, below


def _finish(axes: Axes, panel: Panel) -> None:
    axes.set_ylabel(panel.title)
    axes.legend(loc="upper right")
    if panel.top is not None:
        axes.set_ylim(-0.03 * panel.top, 1.03 * panel.top)


def _save(figure: Figure, path: Path) -> None:
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
