"""Two sets of images -> every metric as a row, with its floor and what it was measured with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cxrgan.console import ProgressBar
from cxrgan.evaluation.features import extract
from cxrgan.evaluation.floor import Draws, kept_floors
from cxrgan.evaluation.metrics import frechet_distance, inception_score, kernel_distance, manifold_metrics
from cxrgan.evaluation.rulers.network import FeatureNetwork
from cxrgan.evaluation.sets import ImageSet
from cxrgan.runs.results import FID_SCORE_TAP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Features = NDArray[np.float32]

MetricRow = dict[str, Any]
KID_SUBSET = 1000  # images; fewer where there are fewer
KID_SUBSETS = 100
NUM_DRAWS = 16  # of a floor
NUM_FRECHET_DRAWS = 64  # it swings by a third from draw to draw, which follows the share of a class
FEW_FEATURES = 512  # up to which a Frechet distance takes no time


class Values(Protocol):
    """(real, fake) -> metric -> value, and its standard deviation where it has one."""

    def __call__(self, real: "Features", fake: "Features") -> Mapping[str, tuple[float, float | None]]: ...


@dataclass(frozen=True)
class MetricGroup:
    """Metrics that are computed together."""

    name: str
    tap: str
    num_draws: int
    """Of the floor."""
    values: Values
    quick: Values | None = None
    """The same for a single draw of the floor, where that may be less exact."""
    of_fake_alone: bool = False

    def floor_values(self, real: "Features", fake: "Features") -> dict[str, float]:
        return {metric: value for metric, (value, _) in (self.quick or self.values)(real, fake).items()}


def compare(
    *, real: ImageSet, fake: ImageSet, networks: Sequence[FeatureNetwork], seed: int = 0, cache: Path | None = None
) -> list[MetricRow]:
    """Every metric with every network, for all images and for each class that both sides have.

    The images of both sides have one size. `seed` draws the real images of the floors, KID's subsets and the score's
    splits. A metric that cannot be computed, say of too few images, has the value None and a note. `floor` is that of
    `measure_floors`, None where there are too few real images: `n_floor` says how many stood on either side of a draw,
    and `floor_corrected` whether it was brought from there to the numbers of the comparison.
    """
    rows: list[MetricRow] = []
    for network in networks:
        if len(real.images) < real.num and network.sha256 not in real.known:
            rows.append(
                unavailable(
                    network.name, f"{real.name} has no features of this network; give the images with --data DIR"
                )
            )
            continue
        real_taps = real.known.get(network.sha256) or extract(network, real.images, cache=cache)
        fake_taps = extract(network, fake.images, cache=cache)
        labels = [None, *(name for name in real.classes if name in fake.classes)]
        measures = _measures(network, real_taps, seed)
        with ProgressBar(f"metrics and floors with {network.name}", len(labels) * len(measures)) as bar:
            for label in labels:
                of_real, of_fake = real.of_class(label), fake.of_class(label)
                for measure in measures:
                    features_real, features_fake = real_taps[measure.tap][of_real], fake_taps[measure.tap][of_fake]
                    shared = {
                        "features": network.name,
                        "tap": measure.tap,
                        "resize": network.resize,
                        "n_real": len(features_real),
                        "n_fake": len(features_fake),
                        "split": real.split,
                        "label": label,
                        "seed": seed,
                    }
                    rows += [{**row, **shared} for row in _rows(measure, features_real, features_fake, seed, cache)]
                    bar.advance()
    return rows


def frechet_draws(num_features: int) -> int:
    """How many draws a floor of the Frechet distance is the mean of."""
    return NUM_FRECHET_DRAWS if num_features <= FEW_FEATURES else NUM_DRAWS


def unavailable(name: str, reason: str) -> MetricRow:
    """The row that stands for all metrics of a network that is not available."""
    return {"metric": "all", "value": None, "note": reason, "features": name}


def _measures(network: FeatureNetwork, taps: "Mapping[str, Features]", seed: int) -> list[MetricGroup]:
    """What is measured at which tap: the Frechet distance everywhere, the rest at the main one."""

    def distance(real: "Features", fake: "Features") -> Mapping[str, tuple[float, float | None]]:
        return {"frechet_distance": (frechet_distance(real=real, fake=fake), None)}

    def kernel(
        real: "Features", fake: "Features", num_subsets: int = KID_SUBSETS
    ) -> Mapping[str, tuple[float, float | None]]:
        size = min(KID_SUBSET, len(real), len(fake))
        estimate = kernel_distance(real=real, fake=fake, num_subsets=num_subsets, subset_size=size, seed=seed)
        return {"kernel_distance": estimate}

    def manifold(real: "Features", fake: "Features") -> Mapping[str, tuple[float, float | None]]:
        measured = manifold_metrics(real=real, fake=fake)
        return {name: (value, None) for name, value in measured._asdict().items()}

    def score(real: "Features", fake: "Features") -> Mapping[str, tuple[float, float | None]]:
        return {"inception_score": inception_score(logits=fake, seed=seed)}

    if network.main_tap.startswith("logits"):
        return [MetricGroup("score", network.main_tap, NUM_DRAWS, score, of_fake_alone=True)]
    main, few_subsets = network.main_tap, partial(kernel, num_subsets=-(-KID_SUBSETS // NUM_DRAWS))
    measures = [
        MetricGroup("distance", tap, frechet_draws(features.shape[1]), distance)
        for tap, features in taps.items()
        if not tap.startswith("logits")
    ]
    measures += [
        MetricGroup("kernel", main, NUM_DRAWS, kernel, few_subsets),
        MetricGroup("manifold", main, NUM_DRAWS, manifold),
    ]
    if FID_SCORE_TAP in taps:
        measures.append(MetricGroup("score", FID_SCORE_TAP, NUM_DRAWS, score, of_fake_alone=True))
    return measures


def _rows(measure: MetricGroup, real: "Features", fake: "Features", seed: int, cache: Path | None) -> list[MetricRow]:
    try:
        values = measure.values(real, fake)
    except ValueError as error:
        return [{"metric": measure.name, "value": None, "note": f"not computed: {error}"}]
    draws = Draws(0 if measure.of_fake_alone else len(real), len(fake), measure.num_draws, seed)
    floors = kept_floors(measure.floor_values, real, draws, name=measure.name, cache=cache)
    rows = []
    for metric, (value, std) in values.items():
        row: MetricRow = {"metric": metric, "value": value, "std": std}
        row |= dict.fromkeys(("floor", "floor_std", "n_floor", "floor_draws", "floor_corrected", "ratio"))
        if metric in floors:
            floor, numbers = floors[metric], draws.numbers(len(real))
            row |= {"floor": floor.mean, "floor_std": floor.std, "n_floor": list(numbers), "floor_draws": draws.num}
            row["floor_corrected"] = metric == "frechet_distance" and numbers != (len(real), len(fake))
            # KID's floor is about 0, and may be below: a ratio to it would say nothing.
            row["ratio"] = value / floor.mean if floor.mean and metric != "kernel_distance" else None
        rows.append(row)
    return rows
