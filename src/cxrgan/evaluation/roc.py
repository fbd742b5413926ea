"""Area under the ROC curve (AUC), and resamples of patients for its interval."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def auc(*, positive: "Floats", negative: "Floats") -> float:
    """The chance that a positive scores above a negative, ties counting half.

    From the ranks (Mann and Whitney 1947); neither side may be empty.
    """
    ordered = np.sort(negative)
    wins = np.searchsorted(ordered, positive, "left") + np.searchsorted(ordered, positive, "right")
    return float(wins.sum() / (2 * len(positive) * len(negative)))


def class_auc(shares: "Floats", labels: "NDArray[np.int64]", weights: "Floats") -> "Floats":
    """The mean over the classes of the AUC of each against the rest: (B,), one for each row of `weights` (B, N).

    `shares` (N, K) are a classifier's, `labels` (N,) in [0, K); an image counts as often as its weight says. With two
    classes it is the AUC. NaN where a class has no weight.
    """
    each = [_weighted(shares[:, k], labels == k, weights) for k in range(shares.shape[1])]
    return np.asarray(np.mean(each, axis=0))


def _weighted(scores: "Floats", positive: "NDArray[np.bool_]", weights: "Floats") -> "Floats":
    """`auc` with each image as often as the row of `weights` (B, N) says: (B,)."""
    order = np.argsort(scores)
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.nan) != 0)  # of each run of equal scores
    of_positive = np.add.reduceat(np.where(positive, weights, 0)[:, order], starts, axis=1)
    of_negative = np.add.reduceat(np.where(positive, 0, weights)[:, order], starts, axis=1)
    below = np.cumsum(of_negative, axis=1) - of_negative / 2
    pairs = of_positive.sum(1) * of_negative.sum(1)
    return np.where(pairs > 0, (of_positive * below).sum(1) / np.maximum(pairs, 1), np.nan)


def patient_resamples(patients: "NDArray[np.int64]", num: int, seed: int) -> "Floats":
    """How often each image is in each of `num` bootstrap samples: (num, N) whole numbers.

    `patients` (N,) are numbers from 0 on. As many as there are, are drawn with replacement, and each brings all of its
    images: those of one patient are not independent, and drawn one by one would promise too narrow an interval.
    """
    num_patients = int(patients.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(num_patients, np.full(num_patients, 1 / num_patients), size=num)
    return drawn[:, patients].astype(np.float64)
