"""A run's own numbers as pictures; reads what is written, computes nothing anew."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table

from cxrgan.files import replacing
from cxrgan.training.log import History

HIGHER_IS_BETTER = {"inception_score", "precision", "recall", "density", "coverage"}
DEPENDS_ON_NUMBERS = {"frechet_distance", "inception_score"}
"""Metrics that change with the number of images, not only with the proportion of real and generated ones."""
UNEQUAL = "*"
"""Marks a ratio between unequal numbers of images."""
EVALUATION_COLUMNS = ("metric", "tap", "value", "floor", "ratio")
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


def evaluation_tables(rows: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Rows of evaluation.json that have a value -> a table for the terminal for each network and class."""
    tables = []
    for group in evaluation_groups(rows):
        table = Table(title=f"{group[0]['features']}, {group[0]['label'] or 'all images'}", title_justify="left")
        for column in EVALUATION_COLUMNS[:2]:
            table.add_column(column, no_wrap=True)
        for column in EVALUATION_COLUMNS[2:]:
            table.add_column(column, justify="right", no_wrap=True)
        for row in group:
            table.add_row(*evaluation_cells(row))
        table.caption, table.caption_justify = "\n".join(evaluation_remarks(group)), "left"
        tables.append(table)
    return tables


def evaluation_groups(rows: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Rows of evaluation.json that have a value, by network and class."""
    groups: dict[tuple[str, str | None], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["value"] is not None:
            groups.setdefault((row["features"], row["label"]), []).append(row)
    return list(groups.values())


def evaluation_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """A row of evaluation.json as text, in the order of `EVALUATION_COLUMNS`."""
    return (
        f"{row['metric'].replace('_', ' ')} {'↑' if row['metric'] in HIGHER_IS_BETTER else '↓'}",
        row["tap"],
        _number(row["value"], row["std"]),
        _number(row["floor"], row.get("floor_std")),
        _number(row["ratio"]) + (UNEQUAL if row["ratio"] is not None and is_unequal(row) else ""),
    )


def is_unequal(row: Mapping[str, Any]) -> bool:
    """Whether a row of evaluation.json compares unequal numbers: real with generated images, or a value with its floor.

    A floor at other numbers tells nothing wrong where it is corrected, or where the metric depends on their proportion.
    """
    if row["n_real"] != row["n_fake"]:
        return True
    as_fake = row["n_floor"][1] if isinstance(row["n_floor"], list) else row["n_floor"]  # one number: halves, before
    depends = row["metric"] in DEPENDS_ON_NUMBERS and not row.get("floor_corrected")
    return row["floor"] is not None and depends and as_fake != row["n_fake"]


def evaluation_remarks(group: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a reader must know of a table of `evaluation_groups`: how its floors were drawn, and what its mark means."""
    remarks = []
    drawn = [row for row in group if row.get("floor_std") is not None]
    if drawn:
        counts = " or ".join(dict.fromkeys(str(row["floor_draws"]) for row in drawn))
        sizes = " or ".join(dict.fromkeys(_sides(*row["n_floor"]) for row in drawn))
        remarks.append(f"Floor: real against other real images, mean ± deviation of {counts} draws of {sizes}.")
    corrected = next((row for row in drawn if row["floor_corrected"]), None)
    if corrected:
        numbers = _sides(corrected["n_real"], corrected["n_fake"])
        remarks.append(f"The Frechet distance's floor is corrected from there to {numbers}.")
    if any(row["ratio"] is not None and is_unequal(row) for row in group):
        unequal = dict.fromkeys(_numbers(row) for row in group if is_unequal(row))
        remarks.append(f"{UNEQUAL} {'; '.join(unequal)}: compare such a ratio only with one at the same numbers.")
    return remarks


def evaluation_notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was not computed, and why, in a line each."""
    missing = [row for row in rows if row["value"] is None]
    images = [f", {row['label']}" if row.get("label") else "" for row in missing]
    return [f"{row['features']}{of}, {row['metric']}: {row['note']}" for row, of in zip(missing, images, strict=True)]


def _sides(as_real: int, as_fake: int) -> str:
    return f"{as_real:,} against {as_fake:,}" if as_real else f"{as_fake:,}"


def _numbers(row: Mapping[str, Any]) -> str:
    if row["n_real"] != row["n_fake"]:
        return f"{row['n_fake']:,} generated images against {row['n_real']:,} real ones"
    return f"a value of {row['n_fake']:,} images against a floor of fewer"


def _number(value: float | None, std: float | None = None) -> str:
    spread = "" if std is None else f" ± {std:.2g}"
    return "" if value is None else f"{value:.3g}{spread}"


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
