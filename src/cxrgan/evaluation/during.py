"""Measurements during training: a few metrics of a fixed set of seeds against the training images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cxrgan.evaluation.compare import NUM_DRAWS, frechet_draws
from cxrgan.evaluation.features import compute, extract
from cxrgan.evaluation.floor import Draws, Floor, Measure, kept_floors
from cxrgan.evaluation.metrics import Gaussian, fit_gaussian, frechet_between, frechet_distance, manifold_metrics
from cxrgan.evaluation.rulers.network import FeatureNetwork

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Features = NDArray[np.float32]
    Evaluator = Callable[[NDArray[np.uint8]], dict[str, Any]]

NUM_MANIFOLD = 2000  # real images for precision and recall, which take time with their square


@dataclass(frozen=True, eq=False)
class Reference:
    """Real images at one tap of a network, with which generated ones are compared."""

    features: "Features"
    """(N, D)."""
    gaussian: Gaussian
    cache: Path | None
    known: dict[tuple[str, Draws], dict[str, Floor]] = field(default_factory=dict)
    """Floors that were measured: all measurements of a run have the same numbers."""

    def distance(self, fake: "Features") -> dict[str, float | None]:
        """The Frechet distance of generated images (n, D), with its floor at just these numbers of images."""
        draws = Draws(len(self.features), len(fake), frechet_draws(fake.shape[1]), seed=0)
        mean, std = self._floors("distance", frechet, draws).get("frechet_distance", (None, None))
        value = frechet_between(real=self.gaussian, fake=fit_gaussian(features=fake))
        return {"frechet_distance": value, "frechet_floor": mean, "frechet_floor_std": std}

    def precision_recall(self, fake: "Features") -> dict[str, float | None]:
        """Precision and recall against every so many of the real images: `n_real_manifold` says how many these are."""
        near = self.features[:: max(1, len(self.features) // NUM_MANIFOLD)]
        floors = self._floors(
            "precision and recall", precision_and_recall, Draws(len(near), len(fake), NUM_DRAWS, seed=0)
        )
        row: dict[str, float | None] = {"n_real_manifold": len(near)}
        for metric, value in precision_and_recall(near, fake).items():
            mean, std = floors.get(metric, (None, None))
            row |= {metric: value, f"{metric}_floor": mean, f"{metric}_floor_std": std}
        return row

    def _floors(self, name: str, measure: Measure, draws: Draws) -> dict[str, Floor]:
        if (name, draws) not in self.known:
            self.known[name, draws] = kept_floors(measure, self.features, draws, name=name, cache=self.cache)
        return self.known[name, draws]


def make_evaluator(
    real: "NDArray[np.uint8]", networks: Sequence[FeatureNetwork], *, cache: Path | None = None
) -> "Evaluator":
    """A function from generated images (N, M, M) uint8 to a measurement against `real`, whose features are kept.

    The first network measures everything at its main tap; the others add the Frechet distance at each of their taps,
    as a list `others`. It changes no weight and no random state of the run. The floors are those of `evaluate` with the
    seed 0, for as many images as are compared; they are measured with the first of these.
    """
    main, *others = networks
    reference = _reference(extract(main, real, cache=cache)[main.main_tap], cache)
    further = [(network, _references(network, real, cache)) for network in others]

    def measure(images: "NDArray[np.uint8]") -> dict[str, Any]:
        fake = compute(main, images)[main.main_tap]
        row: dict[str, Any] = {**reference.distance(fake), **reference.precision_recall(fake)}
        row |= {"features": main.name, "n_real": len(real), "n_fake": len(images)}
        if further:
            row["others"] = [row for network, taps in further for row in _distances(network, taps, images)]
        return row

    return measure


def _reference(features: "Features", cache: Path | None) -> Reference:
    return Reference(features, fit_gaussian(features=features), cache)


def _references(network: FeatureNetwork, real: "NDArray[np.uint8]", cache: Path | None) -> dict[str, Reference]:
    """One for every tap that is not for the Inception Score."""
    taps = extract(network, real, cache=cache)
    return {tap: _reference(features, cache) for tap, features in taps.items() if not tap.startswith("logits")}


def _distances(
    network: FeatureNetwork, taps: dict[str, Reference], images: "NDArray[np.uint8]"
) -> list[dict[str, Any]]:
    """The Frechet distance of generated images at each of these taps."""
    fake = compute(network, images)
    return [{"features": network.name, "tap": tap, **reference.distance(fake[tap])} for tap, reference in taps.items()]


def frechet(real: "Features", fake: "Features") -> dict[str, float]:
    return {"frechet_distance": frechet_distance(real=real, fake=fake)}


def precision_and_recall(real: "Features", fake: "Features") -> dict[str, float]:
    metrics = manifold_metrics(real=real, fake=fake)
    return {"precision": metrics.precision, "recall": metrics.recall}
