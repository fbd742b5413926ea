"""Whether a generator repeats its training images: nearest neighbours, compared with those of held-out real images.

Held-out images also have a nearest training image. Generated images may be as near as these, but not nearer
(Meehan et al. 2020, "A Non-Parametric Test to Detect Data-Copying").
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cxrgan.evaluation.metrics import Features, nearest

SUSPICIOUS = 0.01  # share of the held-out images that count as too near by definition


class Memorisation(NamedTuple):
    """Distances are Euclidean, in the units of the features."""

    fake_to_train: float
    """Median distance of a generated image to its nearest training image."""
    held_out_to_train: float
    """The same of held-out real images."""
    too_near: float
    """Share of generated images that are nearer than all but 1 % of the held-out ones; 0.01 is what chance gives."""
    worst: NDArray[np.int64]
    """(N,) generated images, the nearest to a training image first."""
    worst_train: NDArray[np.int64]
    """(N,) the training image that is nearest to each of `worst`."""


def memorisation(*, fake: Features, train: Features, held_out: Features) -> Memorisation:
    """Features (N, D), (T, D) and (H, D) of one network -> how near the fakes are to the training images.

    Held-out images must be of other patients than the training images, or they are too near themselves.
    ValueError for features that are empty or not finite.
    """
    to_train, which = nearest(of=fake, among=train)
    reference, _ = nearest(of=held_out, among=train)
    limit = np.quantile(reference, SUSPICIOUS)
    order = np.argsort(to_train, kind="stable")
    return Memorisation(
        fake_to_train=float(np.median(to_train)),
        held_out_to_train=float(np.median(reference)),
        too_near=float((to_train < limit).mean()),
        worst=order,
        worst_train=which[order],
    )
