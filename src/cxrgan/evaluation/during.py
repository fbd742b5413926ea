"""Measurements during training: a few metrics of a fixed set of seeds against the training images."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from cxrgan.evaluation.evaluate import random_half
from cxrgan.evaluation.features import FeatureNetwork, compute
from cxrgan.evaluation.metrics import fit_gaussian, frechet_between, frechet_distance, manifold_metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUM_MANIFOLD = 2000  # real images for precision and recall, which take time with their square


def make_evaluator(
    real: "NDArray[np.uint8]", network: FeatureNetwork
) -> "Callable[[NDArray[np.uint8]], dict[str, Any]]":
    """A function from generated images (N, M, M) uint8 to a measurement against `real`, whose features are kept.

    It changes no weight and no random state of the run. The floor is that of `evaluate` with the seed 0.
    """
    features = compute(network, real)[network.main_tap]
    gaussian = fit_gaussian(features=features)
    half = random_half(len(features), seed=0)
    floor = frechet_distance(real=features[half], fake=features[~half])
    near = features[:: max(1, len(features) // NUM_MANIFOLD)]

    def measure(images: "NDArray[np.uint8]") -> dict[str, Any]:
        fake = compute(network, images)[network.main_tap]
        manifold = manifold_metrics(real=near, fake=fake)
        return {
            "frechet_distance": frechet_between(real=gaussian, fake=fit_gaussian(features=fake)),
            "frechet_floor": floor,
            "precision": manifold.precision,
            "recall": manifold.recall,
            "features": network.name,
            "n_real": len(real),
            "n_fake": len(images),
        }

    return measure
