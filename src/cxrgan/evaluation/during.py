"""Measurements during training: a few metrics of a fixed set of seeds against the training images."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from cxrgan.evaluation.features import FeatureNetwork, compute
from cxrgan.evaluation.metrics import fit_gaussian, frechet_between, manifold_metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUM_MANIFOLD = 2000  # real images for precision and recall, which take time with their square


def make_evaluator(
    real: "NDArray[np.uint8]", network: FeatureNetwork
) -> "Callable[[NDArray[np.uint8]], dict[str, Any]]":
    """A function from generated images (N, M, M) uint8 to a measurement against `real`, whose features are kept.

    It draws no random number and changes no weight of the run. The floor is the Frechet distance between the two
    halves of the real images, taken in turn.
    """
    features = compute(network, real)[network.main_tap]
    gaussian, first, second = (fit_gaussian(features=part) for part in (features, features[::2], features[1::2]))
    floor = frechet_between(real=first, fake=second)
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
