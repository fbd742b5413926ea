"""How far generated images are from real ones, measured on their features: arrays in, numbers out.

Features are (N, D), a row an image, of any real dtype; everything is computed in float64. `real` and `fake` go by
keyword because half of these metrics change their meaning when the two are swapped.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Features = NDArray[Any]
Float64 = NDArray[np.float64]

BLOCK = 2048
"""Rows of the distance blocks: memory is a few BLOCK x BLOCK float64 arrays, however many images there are."""

SAME = 1e-12
"""Squared distances below this part of |x|^2 + |y|^2 are 0: rounding hides them, and float32 features blur them."""

TIE = 1e-9
"""Squared distances within this relative difference are equal, so that rounding decides neither `<` nor `<=`."""


class Estimate(NamedTuple):
    """A score and its standard deviation (over subsets or splits, not over training runs)."""

    mean: float
    std: float


class PrecisionRecall(NamedTuple):
    """Both in [0, 1]."""

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """Density is at least 0, 1 where fake and real agree, and may exceed 1; coverage is in [0, 1]."""

    density: float
    coverage: float


class ManifoldMetrics(NamedTuple):
    precision: float
    recall: float
    density: float
    coverage: float


@dataclass(frozen=True, eq=False)
class Gaussian:
    """All that the Frechet distance needs of a set of images: statistics that can be shipped instead of the images."""

    mean: NDArray[np.floating[Any]]
    """(D,), float64 or float32."""
    covariance: NDArray[np.floating[Any]]
    """(D, D), symmetric, positive semi-definite, with n - 1 in the denominator; float64 or float32."""

    def __post_init__(self) -> None:
        shape = np.shape(self.mean) * 2
        if len(shape) != 2 or np.shape(self.covariance) != shape:
            raise ValueError(
                "a Gaussian is a mean (D,) and a covariance (D, D); "
                f"these are {np.shape(self.mean)} and {np.shape(self.covariance)}"
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.covariance).all()):
            raise ValueError("the mean or the covariance has NaN or infinite values")
        if not np.allclose(self.covariance, np.transpose(self.covariance)):
            raise ValueError("a covariance must be symmetric; this matrix is not")


def fit_gaussian(*, features: Features) -> Gaussian:
    """Mean and covariance (n - 1) of (N, D) features."""
    features = _checked("features", features, at_least=2, because="a covariance")
    mean = _mean(features)
    centred = _minus(features, mean)
    return Gaussian(mean, centred.T @ centred / (len(features) - 1))


def frechet_distance(*, real: Features, fake: Features) -> float:
    """Squared Frechet distance of the Gaussians fitted to two sets of features; 0 is best, the order does not matter.

    On Inception features this is the FID (Heusel et al. 2017). Fewer images than D are no numerical trouble, but
    bias it upwards: only distances at equal n can be compared.
    """
    real, fake = _checked_pair(real, fake, at_least=2, because="a covariance")
    return _frechet(_mean(real) - _mean(fake), _factor_of_features(real), _factor_of_features(fake))


def frechet_between(*, real: Gaussian, fake: Gaussian) -> float:
    """`frechet_distance` from statistics alone."""
    if len(real.mean) != len(fake.mean):
        raise ValueError(
            f"real has {len(real.mean)} features and fake {len(fake.mean)}: both must come from the same network"
        )
    factors = (_factor_of_covariance(side.covariance) for side in (real, fake))
    return _frechet(np.subtract(real.mean, fake.mean, dtype=np.float64), *factors)


def _frechet(shift: Float64, factor_real: Float64, factor_fake: Float64) -> float:
    """|shift|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2) for S = F^T F, with shift (D,) and factors F (any, D).

    Dowson and Landau 1982. The trace is the sum of the singular values of M = F1 F2^T. The roots of the eigenvalues
    of M M^T take a fifth of the time, but rounding moves these by a few parts of the largest, and with them the roots
    of the small ones; only where that could be seen in the distance is the decomposition itself worth its time.
    """
    short, long = sorted((factor_real, factor_fake), key=len)
    product = short @ long.T
    spread = sum(float(np.vdot(part, part)) for part in (shift, factor_real, factor_fake))
    eigenvalues = np.linalg.eigvalsh(product @ product.T)
    noise = 10 * np.finfo(np.float64).eps * eigenvalues.max(initial=1e-300)
    roots = np.sqrt(np.where(eigenvalues > noise, eigenvalues, 0))
    distance = spread - 2 * float(roots.sum())
    error = 2 * float((noise / np.maximum(roots, np.sqrt(noise))).sum())
    if error > 1e-6 * distance:
        distance = spread - 2 * float(np.linalg.svd(product, compute_uv=False).sum())
    return max(0.0, distance)


def _factor_of_features(features: Features) -> Float64:
    """F (min(N, D), D) with F^T F = the covariance; where N <= D the centred features are one already."""
    num, dim = features.shape
    if num > dim:
        return _factor_of_covariance(fit_gaussian(features=features).covariance)
    return _minus(features, _mean(features)) / math.sqrt(num - 1)


def _factor_of_covariance(covariance: NDArray[np.floating[Any]]) -> Float64:
    """F (rank, D) with F^T F = covariance (D, D)."""
    covariance = covariance.astype(np.float64, copy=False)
    try:
        return np.asarray(np.linalg.cholesky(covariance).T)
    except np.linalg.LinAlgError:  # singular: constant features, repeated images or fewer of them than features
        values, vectors = np.linalg.eigh(covariance)
    if values[0] < -1e-5 * values[-1]:  # float32 statistics are off by less
        raise ValueError(f"a covariance has no negative eigenvalue; this one has {values[0]:.3g}")
    kept = values > len(values) * np.finfo(np.float64).eps * values[-1]
    return np.asarray(np.sqrt(values[kept])[:, None] * vectors[:, kept].T)


def kernel_distance(
    *, real: Features, fake: Features, num_subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> Estimate:
    """Squared maximum mean discrepancy with the kernel (x.y / D + 1)^3: the KID on Inception features.

    Binkowski et al. 2018. Unbiased whatever n, so it may be negative where real and fake agree. The mean and the
    standard deviation are those of `num_subsets` estimates, each of `subset_size` images a side drawn by `seed`
    without replacement.
    """
    real, fake = _checked_pair(real, fake, at_least=2, because="an unbiased estimate")
    if num_subsets < 1:
        raise ValueError(f"num_subsets is {num_subsets}; at least 1 is needed")
    if not 2 <= subset_size <= min(len(real), len(fake)):
        raise ValueError(
            f"subset_size is {subset_size}; subsets are drawn without replacement from {len(real)} real and "
            f"{len(fake)} fake images, so it must be from 2 to {min(len(real), len(fake))}"
        )
    random = np.random.default_rng(seed)

    def subset(features: Features) -> Float64:
        return features[random.choice(len(features), subset_size, replace=False)].astype(np.float64)

    estimates = [_unbiased_mmd(subset(real), subset(fake)) for _ in range(num_subsets)]
    return Estimate(float(np.mean(estimates)), float(np.std(estimates)))


def _unbiased_mmd(x: Float64, y: Float64) -> float:
    """The unbiased estimate of MMD^2 from two samples (m, D): no image is compared with itself."""
    num = len(x)
    within = (_kernel(side, side) for side in (x, y))
    between = _kernel(x, y).mean()
    return float(sum((kernel.sum() - kernel.trace()) / (num * (num - 1)) for kernel in within) - 2 * between)


def _kernel(x: Float64, y: Float64) -> Float64:
    """(x.y / D + 1)^3 of each row of x (n, D) with each of y (m, D): (n, m)."""
    base = x @ y.T / x.shape[1] + 1
    return np.asarray(base * base * base)  # faster than a power


def inception_score(*, logits: Features, splits: int = 10, seed: int = 0) -> Estimate:
    """exp of the mean KL divergence from p(class) to p(class | image), of logits (N, C); from 1 to C, C is best.

    Salimans et al. 2016: the mean and the standard deviation over `splits` parts. The images are shuffled by `seed`
    before they are split, as torch-fidelity does and the first implementation does not: images that come sorted by
    class would else score about 1, each part having one class. A part's score is biased by its size, N / splits.
    """
    logits = _checked("logits", logits, at_least=2, because="a score")
    if not 1 <= splits <= len(logits) // 2:
        raise ValueError(
            f"splits is {splits} for {len(logits)} images; it must be from 1 to {len(logits) // 2}, "
            "at least two images per split, since one alone always scores 1"
        )
    shuffled = np.random.default_rng(seed).permutation(len(logits))
    scores = [_split_score(logits[rows].astype(np.float64)) for rows in np.array_split(shuffled, splits)]
    return Estimate(float(np.mean(scores)), float(np.std(scores)))


def _split_score(logits: Float64) -> float:
    log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    log_marginal = np.logaddexp.reduce(log_p, axis=0) - np.log(len(logits))
    return float(np.exp((np.exp(log_p) * (log_p - log_marginal)).sum(axis=1).mean()))


def precision_recall(*, real: Features, fake: Features, k: int = 3) -> PrecisionRecall:
    """Precision, the fakes inside the real manifold, and recall, the reals inside the fake one; in [0, 1].

    Kynkaanniemi et al. 2019: a set's manifold is the union of the balls about its images that reach to (`<=`) the
    k-th nearest other image. Both depend on n.
    """
    metrics = manifold_metrics(real=real, fake=fake, k_precision=k, k_density=k)
    return PrecisionRecall(metrics.precision, metrics.recall)


def density_coverage(*, real: Features, fake: Features, k: int = 5) -> DensityCoverage:
    """Density, the mean number of real balls around a fake over k, and coverage, the share of real balls with a fake.

    Naeem et al. 2020, with the balls of their code: as in `precision_recall`, but open (`<`). A real image that
    occurs more than k times has therefore an empty ball.
    """
    metrics = manifold_metrics(real=real, fake=fake, k_precision=k, k_density=k)
    return DensityCoverage(metrics.density, metrics.coverage)


def manifold_metrics(*, real: Features, fake: Features, k_precision: int = 3, k_density: int = 5) -> ManifoldMetrics:
    """`precision_recall` and `density_coverage` from one computation of the distances."""
    k = max(k_precision, k_density)
    if min(k_precision, k_density) < 1:
        raise ValueError(f"k is {min(k_precision, k_density)}; at least 1 neighbour is needed")
    real, fake = _checked_pair(real, fake, at_least=k + 1, because=f"{k} neighbours besides itself")
    centre = (_mean(real) + _mean(fake)) / 2
    real, fake = _minus(real, centre), _minus(fake, centre)
    neighbours_real, neighbours_fake = _neighbours(real, k), _neighbours(fake, k)
    closed_real = neighbours_real[:, k_precision - 1] * (1 + TIE)
    closed_fake = neighbours_fake[:, k_precision - 1] * (1 + TIE)
    open_real = neighbours_real[:, k_density - 1] * (1 - TIE)

    fake_is_inside = np.zeros(len(fake), dtype=bool)
    real_is_inside = np.zeros(len(real), dtype=bool)
    real_is_covered = np.zeros(len(real), dtype=bool)
    num_memberships = 0
    for rows, columns, squared in _distance_blocks(real, fake):
        fake_is_inside[columns] |= (squared <= closed_real[rows, None]).any(axis=0)
        real_is_inside[rows] |= (squared <= closed_fake[columns]).any(axis=1)
        in_open_ball = squared < open_real[rows, None]
        real_is_covered[rows] |= in_open_ball.any(axis=1)
        num_memberships += int(np.count_nonzero(in_open_ball))
    return ManifoldMetrics(
        precision=float(fake_is_inside.mean()),
        recall=float(real_is_inside.mean()),
        density=num_memberships / (k_density * len(fake)),
        coverage=float(real_is_covered.mean()),
    )


def nearest(*, of: Features, among: Features) -> tuple[Float64, NDArray[np.int64]]:
    """For each row of `of` (N, D) its distance to the nearest row of `among` (M, D), (N,), and which that is, (N,)."""
    of, among = (
        _checked("of", of, at_least=1, because="a nearest row"),
        _checked("among", among, at_least=1, because=""),
    )
    centre = _mean(among)
    distance, index = np.full(len(of), np.inf), np.zeros(len(of), dtype=np.int64)
    for rows, columns, squared in _distance_blocks(_minus(of, centre), _minus(among, centre)):
        best = squared.argmin(1)
        value = squared[np.arange(len(best)), best]
        closer = value < distance[rows]
        distance[rows] = np.where(closer, value, distance[rows])
        index[rows] = np.where(closer, best + columns.start, index[rows])
    return np.sqrt(distance), index


def _neighbours(features: Float64, k: int) -> Float64:
    """Squared distances of each row of (N, D) to its k nearest other rows, ascending: (N, k)."""
    nearest = np.full((len(features), k), np.inf)
    for rows, columns, squared in _distance_blocks(features, features):
        if rows == columns:
            np.fill_diagonal(squared, np.inf)  # a row is not its own neighbour, but its twin is
        candidates = np.hstack([nearest[rows], squared])
        nearest[rows] = np.partition(candidates, k - 1, axis=1)[:, :k]
    return np.sort(nearest, axis=1)


def _distance_blocks(x: Float64, y: Float64) -> Iterator[tuple[slice, slice, Float64]]:
    """Squared distances of all rows of x (N, D) and y (M, D), as (rows, columns, (<= BLOCK, <= BLOCK) block).

    |x|^2 + |y|^2 - 2 x.y costs one matrix product; the cancellation that it suffers is what SAME is for.
    """
    norms_x, norms_y = (np.einsum("nd,nd->n", side, side) for side in (x, y))
    for rows in _slices(len(x)):
        for columns in _slices(len(y)):
            norms = norms_x[rows, None] + norms_y[columns]
            squared = x[rows] @ y[columns].T
            squared *= -2
            squared += norms
            norms *= SAME
            squared[squared < norms] = 0
            yield rows, columns, squared


def _slices(length: int) -> Iterator[slice]:
    return (slice(start, min(start + BLOCK, length)) for start in range(0, length, BLOCK))


def _mean(features: Features) -> Float64:
    return np.asarray(features.mean(axis=0, dtype=np.float64))


def _minus(features: Features, centre: Float64) -> Float64:
    """In float64, without a float64 copy of the features on the way."""
    return np.subtract(features, centre, dtype=np.float64)


def _checked_pair(real: Features, fake: Features, *, at_least: int, because: str) -> tuple[Features, Features]:
    real = _checked("real", real, at_least=at_least, because=because)
    fake = _checked("fake", fake, at_least=at_least, because=because)
    if real.shape[1] != fake.shape[1]:
        raise ValueError(
            f"real has {real.shape[1]} features and fake {fake.shape[1]}: both must come from the same network"
        )
    return real, fake


def _checked(name: str, features: Features, *, at_least: int, because: str) -> Features:
    """`features` as an array, or a ValueError that names what is wrong with them."""
    features = np.asarray(features)
    if features.ndim != 2:
        raise ValueError(f"{name} must be (N, D), one row per image; its shape is {features.shape}")
    if len(features) < at_least:
        raise ValueError(f"{name} has {len(features)} images; {because} needs at least {at_least}")
    if not np.isfinite(features).all():
        row, column = np.argwhere(~np.isfinite(features))[0]
        raise ValueError(f"{name}[{row}, {column}] is {features[row, column]}; all values must be finite")
    return features
