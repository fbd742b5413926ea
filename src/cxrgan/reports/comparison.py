"""Results of several runs -> columns for people, and which run is the best; Markdown and the page show the same."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cxrgan.console import duration
from cxrgan.recipes.config import OUTSIDE, TrainConfig
from cxrgan.recipes.named import DCGAN
from cxrgan.reports.numbers import NONE, column, decimals, fixed, setting
from cxrgan.reports.tables import UNEQUAL, is_unequal
from cxrgan.runs.results import FID_SCORE_TAP, FINISHED, Result
from cxrgan.settings import differences

TAPS = ("64", "192", "768", "2048")
DOMAIN_TAP = "features"
CHOOSES, REPORTS = "cxr-domain-v1", "cxr-domain-v2"
"""The domain network that runs are ranked by, and the one that nothing is chosen with."""
IMAGENET_SCORE_TAP = "logits"
"""Of the 1000 classes that the reports' Inception Score is over; the FID's network has 1008 others."""

SHOWN = {"model.image_size", "model.latent_channels", "model.latent_size", "model.ngf", "model.ndf"}
SHOWN |= {"batch_size", "epochs", "steps", "lr", "model.num_classes"}
"""Settings with columns of their own, and the number of classes, which follows from `conditional` and the data."""


@dataclass(frozen=True)
class Column:
    """A column of a table, a cell for each run."""

    name: str
    cells: Sequence[str]
    is_number: bool = True
    """Its cells stand to the right, below each other."""


def result_columns(results: Sequence[Result]) -> list[Column]:
    """What was measured, beside what was published; columns in which nothing stands are left out."""
    published = [result.published for result in results]
    columns = [
        Column("Fréchet distance, domain", _measured(results, "frechet_distance", DOMAIN_TAP, CHOOSES)),
        Column("Fréchet distance, domain-v2", _measured(results, "frechet_distance", DOMAIN_TAP, REPORTS)),
        *(Column(f"Fréchet distance, tap {tap}", _measured(results, "frechet_distance", tap)) for tap in TAPS),
        Column("FID, published", column([each.fid if each else None for each in published])),
        Column("nearest tap", [nearest_tap(result) or NONE for result in results]),
        Column("precision", _measured(results, "precision", DOMAIN_TAP, CHOOSES)),
        Column("recall", _measured(results, "recall", DOMAIN_TAP, CHOOSES)),
        Column("precision, domain-v2", _measured(results, "precision", DOMAIN_TAP, REPORTS)),
        Column("recall, domain-v2", _measured(results, "recall", DOMAIN_TAP, REPORTS)),
        Column("IS", _measured(results, "inception_score", IMAGENET_SCORE_TAP)),
        Column("IS, published", column([each.inception_score if each else None for each in published])),
        Column("IS of FID's network", _measured(results, "inception_score", FID_SCORE_TAP)),
        Column("training", [NONE if each.seconds is None else duration(each.seconds) for each in results]),
        Column("doctor", [result.verdict or NONE for result in results], is_number=False),
    ]
    return without_empty(columns)


def settings_columns(results: Sequence[Result]) -> list[Column]:
    """The settings of each run that decide its result."""
    rows = [settings_row(result.config) for result in results]
    numeric = {"pixels", "latent", "ngf", "ndf", "batch", "lr"}
    return [Column(name, [setting(row[name]) for row in rows], name in numeric) for name in rows[0]]


def settings_row(config: TrainConfig) -> dict[str, Any]:
    """The settings with columns of their own, and the others that decide a result and are not those of the DCGAN."""
    model = config.model
    changed = {name: new for name, (_, new) in differences(DCGAN, config).items() if name not in SHOWN | OUTSIDE}
    return {
        "pixels": model.image_size,
        "latent": f"{model.latent_channels}x{model.latent_size}x{model.latent_size}",
        "ngf": model.ngf,
        "ndf": model.ndf,
        "length": f"{config.steps} steps" if config.steps else f"{config.epochs:g} epochs",
        "batch": config.batch_size,
        "lr": config.lr,
        "otherwise": ", ".join(f"{name.removeprefix('model.')} {value}" for name, value in changed.items()),
    }


def best(results: Sequence[Result]) -> Result | None:
    """The finished run with the lowest Frechet distance by cxr-domain-v1.

    None where nothing was measured, or where numbers of images or networks differ, so that distances do not compare.
    """
    ranked = ranking(results)
    return ranked[0] if ranked else None


def ranking(results: Sequence[Result]) -> list[Result]:
    """The finished runs by their Frechet distance, the best first; empty where they do not compare."""
    measured = [each for each in results if each.state == FINISHED and distance(each) is not None]
    rows = [each.row("frechet_distance", DOMAIN_TAP, CHOOSES) for each in measured]
    if len({tuple(row.get(name) for name in ("features", "n_real", "n_fake")) for row in rows}) > 1:
        return []
    return sorted(measured, key=lambda each: distance(each) or 0)


def distance(result: Result) -> float | None:
    """The Frechet distance of a run by cxr-domain-v1."""
    value: float | None = result.row("frechet_distance", DOMAIN_TAP, CHOOSES).get("value")
    return value


def nearest_tap(result: Result) -> str | None:
    """The Inception tap whose Frechet distance is nearest to the published FID, as a ratio; None where either lacks."""
    if result.published is None or not result.published.fid > 0:
        return None
    distances = {tap: result.row("frechet_distance", tap).get("value") or 0 for tap in TAPS}
    ratios = {tap: abs(math.log(value / result.published.fid)) for tap, value in distances.items() if value > 0}
    return min(ratios, key=ratios.__getitem__) if ratios else None


def with_floors(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """`value (floor)` of each row, all with the same decimals; `NONE` for a row without a value."""
    values, floors = [row.get("value") for row in rows], [row.get("floor") for row in rows]
    places = decimals([*values, *floors])
    return [
        fixed(value, places)
        + ("" if value is None or floor is None else f" ({fixed(floor, places)})")
        + (UNEQUAL if "n_floor" in row and is_unequal(row) else "")
        for row, value, floor in zip(rows, values, floors, strict=True)
    ]


def without_empty(columns: Sequence[Column]) -> list[Column]:
    """The columns in which something stands."""
    return [column for column in columns if any(cell != NONE for cell in column.cells)]


def _measured(results: Sequence[Result], metric: str, tap: str, features: str | None = None) -> list[str]:
    return with_floors([result.row(metric, tap, features) for result in results])
