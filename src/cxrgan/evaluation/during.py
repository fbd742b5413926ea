"""Measurements during training: a few metrics of a fixed set of seeds against the training images."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cxrgan.evaluation.evaluate import random_half
from cxrgan.evaluation.features import FeatureNetwork, compute, extract
from cxrgan.evaluation.metrics import Gaussian, fit_gaussian, frechet_between, frechet_distance, manifold_metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Features = NDArray[np.float32]
    Measure = Callable[[NDArray[np.uint8]], dict[str, Any]]

NUM_MANIFOLD = 2000  # real images for precision and recall, which take time with their square


def make_evaluator(
    real: "NDArray[np.uint8]", networks: Sequence[FeatureNetwork], *, cache: Path | None = None
) -> "Measure":
    """A function from generated images (N, M, M) uint8 to a measurement against `real`, whose features are kept.

    The first network measures everything at its main tap; the others add the Frechet distance at each of their taps,
    as a list `others`. It changes no weight and no random state of the run. The floor is that of `evaluate` with the
    seed 0.
    """
    main, *others = networks
    features = extract(main, real, cache=cache)[main.main_tap]
    gaussian, floor = _reference(features)
    near = features[:: max(1, len(features) // NUM_MANIFOLD)]
    references = [(network, _references(extract(network, real, cache=cache))) for network in others]

    def measure(images: "NDArray[np.uint8]") -> dict[str, Any]:
        fake = compute(main, images)[main.main_tap]
        manifold = manifold_metrics(real=near, fake=fake)
        row = {
            "frechet_distance": frechet_between(real=gaussian, fake=fit_gaussian(features=fake)),
            "frechet_floor": floor,
            "precision": manifold.precision,
            "recall": manifold.recall,
            "features": main.name,
            "n_real": len(real),
            "n_fake": len(images),
        }
        if references:
            row["others"] = [row for network, taps in references for row in _distances(network, taps, images)]
        return row

    return measure


def _reference(features: "Features") -> tuple[Gaussian, float]:
    """What the Frechet distance to these features of real images is measured against, and its floor."""
    half = random_half(len(features), seed=0)
    return fit_gaussian(features=features), frechet_distance(real=features[half], fake=features[~half])


def _references(taps: "dict[str, Features]") -> dict[str, tuple[Gaussian, float]]:
    """`_reference` of every tap that is not for the Inception Score."""
    return {tap: _reference(features) for tap, features in taps.items() if not tap.startswith("logits")}


def _distances(
    network: FeatureNetwork, taps: dict[str, tuple[Gaussian, float]], images: "NDArray[np.uint8]"
) -> list[dict[str, Any]]:
    """The Frechet distance of generated images at each of these taps."""
    fake = compute(network, images)
    return [
        {
            "features": network.name,
            "tap": tap,
            "frechet_distance": frechet_between(real=gaussian, fake=fit_gaussian(features=fake[tap])),
            "frechet_floor": floor,
        }
        for tap, (gaussian, floor) in taps.items()
    ]
