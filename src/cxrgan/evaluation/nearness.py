"""Whether generated images lie nearer to the training images than other real images do, in the features of a network.

That alone is no sign of copies (`copies` finds those): a generator learns the distribution of its training images, and
held-out images may be of another one. So three groups stand side by side: generated images, held-out images, and the
training images themselves, each compared with those of all other patients (Meehan et al. 2020, "A Non-Parametric Test
to Detect Data-Copying", compares the first two).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxrgan.evaluation.chance import Interval, chance_below, wilson
from cxrgan.evaluation.metrics import Features, Float64, nearest

RARE = 0.01  # share of the held-out images that are "too near" by definition
ROWS = 512  # that are compared at once
NUM_DRAWS = 10


@dataclass(frozen=True)
class Nearness:
    """How near one group of images lies to the training images."""

    who: str
    n: int
    median: float
    """Of the distances to the nearest training image of another patient, in units of the features."""
    too_near: float
    """Share that is nearer than all but 1 % of the held-out images."""
    too_near_interval: Interval
    """Wilson's, 95 %."""
    authentic: float
    """Share of images whose nearest training image has another one nearer to it (authenticity, Alaa et al. 2022)."""
    nearer_to_train: float | None
    """Share nearer to training images than to as many held-out ones of the same classes, half by chance; None for the
    held-out images themselves."""
    nearer_to_train_std: float | None
    """Over draws of the training images."""


@dataclass(frozen=True)
class Side:
    """Features of a group of images."""

    features: Features
    """(N, D)."""
    labels: NDArray[np.str_]
    """(N,)."""


def nearness(
    *, fake: Side, train: Side, held_out: Side, patients: NDArray[np.int64], seed: int
) -> tuple[list[Nearness], Interval]:
    """The groups, and the share that is too near by chance, 95 %, of as many images as there are generated ones.

    `patients` (T,) are those of the training images. Held-out images must be of others, or they are too near.
    """
    among_train = _nearest_of_others(train.features, patients)
    found = [
        ("generated", fake, *nearest(of=fake.features, among=train.features)),
        ("held out", held_out, *nearest(of=held_out.features, among=train.features)),
        ("training, against other patients", train, *among_train),
    ]
    rank = max(1, round(RARE * len(held_out.features)))
    limit = float(np.sort(found[1][2])[rank - 1])
    rows = []
    for who, side, distance, which in found:
        too_near = int((distance < limit).sum())
        control: tuple[float | None, float | None] = (None, None)
        if side is not held_out:
            own = patients if side is train else None
            control = _nearer_to_train(side, train, held_out, own=own, patients=patients, seed=seed)
        rows.append(
            Nearness(
                who=who,
                n=len(distance),
                median=float(np.median(distance)),
                too_near=too_near / len(distance),
                too_near_interval=wilson(too_near, len(distance)),
                authentic=float((distance > among_train[0][which]).mean()),
                nearer_to_train=control[0],
                nearer_to_train_std=control[1],
            )
        )
    return rows, chance_below(rank, len(held_out.features), len(fake.features))


def _nearest_of_others(features: Features, patients: NDArray[np.int64]) -> tuple[Float64, NDArray[np.int64]]:
    """For each of (T, D) the distance to the nearest of another patient, (T,), and which that is."""
    return _nearest_apart(features, patients, features, patients)


def _nearest_apart(
    of: Features, of_patients: NDArray[np.int64], among: Features, patients: NDArray[np.int64]
) -> tuple[Float64, NDArray[np.int64]]:
    """`nearest`, never of the same patient."""
    centre = among.mean(0, dtype=np.float64)
    of, among = of - centre, among - centre
    norms = np.einsum("nd,nd->n", among, among)
    distances, indices = [], []
    for first in range(0, len(of), ROWS):
        rows = slice(first, first + ROWS)
        squared = norms - 2 * of[rows] @ among.T + np.einsum("nd,nd->n", of[rows], of[rows])[:, None]
        squared[of_patients[rows, None] == patients] = np.inf
        indices.append(squared.argmin(1))
        distances.append(np.sqrt(squared.min(1).clip(0)))
    return np.concatenate(distances), np.concatenate(indices)


def _nearer_to_train(
    side: Side,
    train: Side,
    held_out: Side,
    *,
    own: NDArray[np.int64] | None,
    patients: NDArray[np.int64],
    seed: int,
) -> tuple[float, float]:
    """The share nearer to training than to held-out images at equal numbers; mean and deviation of the draws."""
    random = np.random.default_rng(seed)
    to_held_out, _ = nearest(of=side.features, among=held_out.features)
    shares = []
    for _ in range(NUM_DRAWS):
        drawn = _of_the_same_classes(train.labels, held_out.labels, random)
        if own is None:
            distance, _ = nearest(of=side.features, among=train.features[drawn])
        else:
            distance, _ = _nearest_apart(side.features, own, train.features[drawn], patients[drawn])
        shares.append(float((distance < to_held_out).mean()))
    return float(np.mean(shares)), float(np.std(shares, ddof=1))


def _of_the_same_classes(
    labels: NDArray[np.str_], like: Sequence[str] | NDArray[np.str_], random: np.random.Generator
) -> NDArray[np.int64]:
    """Indices of as many images of each class as there are in `like`, as far as there are so many."""
    names, counts = np.unique(like, return_counts=True)
    places = [np.flatnonzero(labels == name) for name in names]
    if not all(len(each) for each in places):  # other classes, or none
        return random.permutation(len(labels))[: len(like)]
    return np.concatenate([random.permutation(each)[:count] for each, count in zip(places, counts, strict=True)])
