"""Real and generated images -> every metric as a row that says what it was measured with, beside its floor.

The floor of a metric is the metric between two random halves of the real images: what a generator that cannot be
told from the data would get. Each half has half the images, which raises the floor of the Frechet distance a little.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cxrgan.evaluation.features import FeatureNetwork, extract
from cxrgan.evaluation.metrics import frechet_distance, inception_score, kernel_distance, manifold_metrics
from cxrgan.evaluation.sets import ImageSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Features = NDArray[np.float32]
    Measure = Callable[[Features, Features], Mapping[str, tuple[float, float | None]]]
    """(real, fake) -> metric -> value, and its standard deviation where it has one."""

Row = dict[str, Any]
KID_SUBSET = 1000  # images; fewer where there are fewer
FID_SCORE_TAP = "logits_unbiased"  # of the FID's network; other networks have logits that are for no Inception Score


def evaluate(
    *, real: ImageSet, fake: ImageSet, networks: Sequence[FeatureNetwork], seed: int = 0, cache: Path | None = None
) -> list[Row]:
    """Every metric with every network, for all images and for each class that both sides have.

    The images of both sides have one size. `seed` draws the halves of the floor, KID's subsets and the score's
    splits. A metric that cannot be computed, say of too few images, has the value None and a note.
    """
    in_first_half = random_half(real.num, seed)
    rows: list[Row] = []
    for network in networks:
        if len(real.images) < real.num and network.sha256 not in real.known:
            rows.append(
                unavailable(network.name, f"{real.name} holds no features of it; give the images with --data DIR")
            )
            continue
        real_taps = real.known.get(network.sha256) or extract(network, real.images, cache=cache)
        fake_taps = extract(network, fake.images, cache=cache)
        for label in [None, *(name for name in real.classes if name in fake.classes)]:
            of_real, of_fake = real.of_class(label), fake.of_class(label)
            for tap, measure in _measures(network, real_taps, seed):
                features_real, features_fake = real_taps[tap][of_real], fake_taps[tap][of_fake]
                halves = real_taps[tap][of_real & in_first_half], real_taps[tap][of_real & ~in_first_half]
                shared = {
                    "features": network.name,
                    "tap": tap,
                    "resize": network.resize,
                    "n_real": len(features_real),
                    "n_fake": len(features_fake),
                    "n_floor": len(halves[0]),
                    "split": real.split,
                    "label": label,
                    "seed": seed,
                }
                rows += [{**row, **shared} for row in _rows(measure, features_real, features_fake, halves)]
    return rows


def random_half(num: int, seed: int) -> "NDArray[np.bool_]":
    """(num,) which of the real images are in the first of the two halves that the floor is measured between."""
    chosen: NDArray[np.bool_] = np.random.default_rng(seed).permutation(num) % 2 == 0
    return chosen


def unavailable(name: str, reason: str) -> Row:
    """The row that stands for all metrics of a network that is not here."""
    return {"metric": "all", "value": None, "note": reason, "features": name}


def _measures(network: FeatureNetwork, taps: "Mapping[str, Features]", seed: int) -> "list[tuple[str, Measure]]":
    """What is measured at which tap: the Frechet distance everywhere, the rest at the main one."""

    def distance(real: "Features", fake: "Features") -> Mapping[str, tuple[float, float | None]]:
        return {"frechet_distance": (frechet_distance(real=real, fake=fake), None)}

    def kernel(real: "Features", fake: "Features") -> Mapping[str, tuple[float, float | None]]:
        size = min(KID_SUBSET, len(real), len(fake))
        return {"kernel_distance": kernel_distance(real=real, fake=fake, subset_size=size, seed=seed)}

    def manifold(real: "Features", fake: "Features") -> Mapping[str, tuple[float, float | None]]:
        measured = manifold_metrics(real=real, fake=fake)
        return {name: (value, None) for name, value in measured._asdict().items()}

    def score(real: "Features", fake: "Features") -> Mapping[str, tuple[float, float | None]]:
        return {"inception_score": inception_score(logits=fake, seed=seed)}

    if network.main_tap.startswith("logits"):
        return [(network.main_tap, score)]
    measures: list[tuple[str, Measure]] = [(tap, distance) for tap in taps if not tap.startswith("logits")]
    measures += [(network.main_tap, kernel), (network.main_tap, manifold)]
    if FID_SCORE_TAP in taps:
        measures.append((FID_SCORE_TAP, score))
    return measures


def _rows(measure: "Measure", real: "Features", fake: "Features", halves: "tuple[Features, Features]") -> list[Row]:
    try:
        values = measure(real, fake)
    except ValueError as error:
        return [{"metric": measure.__name__, "value": None, "note": f"not computed: {error}"}]
    try:
        floors = measure(*halves)
    except ValueError:  # too few real images for halves: the value stands alone
        floors = {}
    rows = []
    for metric, (value, std) in values.items():
        floor = floors[metric][0] if metric in floors else None
        # KID's floor is about 0, and may be below: a ratio to it would say nothing.
        ratio = value / floor if floor and metric != "kernel_distance" else None
        rows.append({"metric": metric, "value": value, "std": std, "floor": floor, "ratio": ratio})
    return rows
