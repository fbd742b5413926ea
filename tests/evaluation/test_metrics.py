"""The metrics against closed forms, plain reference code and the traps of the field."""

import math
import tracemalloc
from collections.abc import Callable
from itertools import product
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cxrgan.evaluation import metrics
from cxrgan.evaluation.metrics import (
    Gaussian,
    ManifoldMetrics,
    density_coverage,
    fit_gaussian,
    frechet_between,
    frechet_distance,
    inception_score,
    kernel_distance,
    manifold_metrics,
    precision_recall,
)

Array = NDArray[Any]


def normal(num: int, dim: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(num, dim))


def white(num: int, dim: int, seed: int = 0) -> Array:
    """(num, dim) with a mean of exactly 0 and a covariance (n - 1) of exactly 1."""
    features = normal(num, dim, seed)
    orthonormal, _ = np.linalg.qr(features - features.mean(axis=0))
    return np.asarray(orthonormal * math.sqrt(num - 1))


def mixed(num: int, dim: int, seed: int) -> Array:
    """Correlated features of unequal scale about a mean that is not 0, in float32 as networks give them."""
    random = np.random.default_rng(seed)
    mixing = random.normal(size=(dim, dim)) * np.geomspace(3, 0.01, dim)
    return (random.normal(size=(num, dim)) @ mixing + random.normal(size=dim)).astype(np.float32)


def rotation(dim: int, seed: int) -> Array:
    return np.asarray(np.linalg.qr(normal(dim, dim, seed)).Q)


# --- Frechet distance


def test_the_frechet_distance_of_a_shifted_set_is_the_squared_shift() -> None:
    features = mixed(100, 8, seed=1).astype(np.float64)
    shift = np.arange(8.0)
    assert frechet_distance(real=features, fake=features + shift) == pytest.approx(shift @ shift, rel=1e-12)


def test_the_frechet_distance_of_scaled_sets_is_the_squared_difference_of_their_deviations() -> None:
    scales_real, scales_fake = np.array([1.0, 2, 0, 5]), np.array([3.0, 2, 1, 0])
    real, fake = white(50, 4, seed=1) * scales_real, white(60, 4, seed=2) * scales_fake
    expected = float(((scales_real - scales_fake) ** 2).sum())
    assert frechet_distance(real=real, fake=fake) == pytest.approx(expected, rel=1e-7)


def test_the_frechet_distance_of_skewed_planes_has_its_closed_form() -> None:
    """In two dimensions tr (S1 S2)^(1/2) = sqrt(tr S1 S2 + 2 sqrt(det S1 S2)), whether or not they commute."""
    skews = np.array([[2.0, 1], [0, 1]]), np.array([[1.0, 0], [-3, 0.5]])
    sides = [white(40, 2, seed) @ skew for seed, skew in enumerate(skews)]
    real, fake = (skew.T @ skew for skew in skews)
    cross = math.sqrt(np.trace(real @ fake) + 2 * math.sqrt(np.linalg.det(real @ fake)))
    expected = np.trace(real) + np.trace(fake) - 2 * cross
    assert frechet_distance(real=sides[0], fake=sides[1]) == pytest.approx(expected, rel=1e-10)


def test_the_covariance_is_divided_by_n_minus_1() -> None:
    spread, still = np.array([[0.0], [2.0]]), np.array([[0.0], [0.0]])
    assert frechet_distance(real=spread, fake=still) == pytest.approx(1 + 2)
    np.testing.assert_allclose(fit_gaussian(features=spread).covariance, [[2.0]])


def eigenvalue_form(real: Array, fake: Array) -> float:
    """The usual code without SciPy: the trace of the root from the eigenvalues of the product."""
    cross = np.sqrt(np.linalg.eigvals(np.cov(real.T) @ np.cov(fake.T)).astype(complex)).real.sum()
    return _frechet(real, fake, cross)


def sqrtm_form(real: Array, fake: Array) -> float:
    """The usual code with SciPy."""
    linalg = pytest.importorskip("scipy.linalg")
    return _frechet(real, fake, linalg.sqrtm(np.cov(real.T) @ np.cov(fake.T)).real.trace())


def _frechet(real: Array, fake: Array, cross: float) -> float:
    shift = real.mean(axis=0) - fake.mean(axis=0)
    return float(shift @ shift + np.cov(real.T).trace() + np.cov(fake.T).trace() - 2 * cross)


@pytest.mark.parametrize("usual", [eigenvalue_form, sqrtm_form])
@pytest.mark.parametrize(("num_real", "num_fake"), [(200, 150), (41, 41), (40, 200), (20, 200), (20, 15)])
def test_the_frechet_distance_agrees_with_the_usual_code_also_for_fewer_images_than_features(
    usual: Callable[[Array, Array], float], num_real: int, num_fake: int
) -> None:
    real, fake = mixed(num_real, 40, seed=1), mixed(num_fake, 40, seed=2)
    ours = frechet_distance(real=real, fake=fake)
    assert ours == pytest.approx(usual(real.astype(np.float64), fake.astype(np.float64)), rel=1e-6)
    statistics = frechet_between(real=fit_gaussian(features=real), fake=fit_gaussian(features=fake))
    assert statistics == pytest.approx(ours, rel=1e-6)


@pytest.mark.parametrize("flattest", [1, 1e-3, 1e-6])
@pytest.mark.parametrize(("num_real", "num_fake"), [(500, 400), (61, 400), (30, 400), (30, 25)])
def test_however_steep_the_spectrum_the_frechet_distance_is_that_of_the_singular_values(
    num_real: int, num_fake: int, flattest: float
) -> None:
    scales = np.geomspace(1, flattest, 60)
    real, fake = (normal(num, 60, seed=num) * scales @ rotation(60, seed=1) for num in (num_real, num_fake))
    sides = [(side - side.mean(axis=0)) / math.sqrt(len(side) - 1) for side in (real, fake)]
    cross = np.linalg.svd(sides[0] @ sides[1].T, compute_uv=False).sum()
    assert frechet_distance(real=real, fake=fake) == pytest.approx(_frechet(real, fake, cross), rel=1e-6)


@pytest.mark.parametrize("num", [5, 100])
def test_a_set_is_at_frechet_distance_0_from_itself(num: int) -> None:
    features = mixed(num, 30, seed=1)
    scale = float(np.trace(np.cov(features.T)))
    assert 0 <= frechet_distance(real=features, fake=features[::-1]) < 1e-12 * scale
    gaussian = fit_gaussian(features=features)
    assert 0 <= frechet_between(real=gaussian, fake=gaussian) < 1e-12 * scale


def test_dead_features_and_repeated_images_are_no_trouble() -> None:
    """Features that never fire make the covariance singular though there are more images than features."""
    real, fake = mixed(60, 10, seed=1), mixed(60, 10, seed=2)
    expected = frechet_distance(real=real, fake=fake)
    dead = np.zeros((60, 3), dtype=np.float32)
    assert frechet_distance(real=np.hstack([real, dead]), fake=np.hstack([fake, dead])) == pytest.approx(expected)
    collapsed = np.repeat(fake[:1], 60, axis=0)
    spread = np.cov(real.T).trace() + ((real.mean(axis=0) - fake[0]) ** 2).sum()
    assert frechet_distance(real=real, fake=collapsed) == pytest.approx(spread, rel=1e-6)
    assert frechet_distance(real=collapsed, fake=collapsed) == 0


def test_a_mean_far_from_0_costs_no_precision() -> None:
    real, fake = normal(100, 5, seed=1), normal(100, 5, seed=2)
    near = frechet_distance(real=real, fake=fake)
    assert frechet_distance(real=real + 1e5, fake=fake + 1e5) == pytest.approx(near, rel=1e-6)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), num=st.integers(2, 30), scale=st.floats(0.01, 100))
def test_the_frechet_distance_is_symmetric_blind_to_order_and_rotation_and_grows_with_the_square(
    seed: int, num: int, scale: float
) -> None:
    real, fake = normal(25, 6, seed), 1 + 2 * normal(num, 6, seed + 1)
    distance = frechet_distance(real=real, fake=fake)
    turn = rotation(6, seed)
    order = np.random.default_rng(seed).permutation(num)
    assert frechet_distance(real=fake, fake=real) == pytest.approx(distance, rel=1e-9)
    assert frechet_distance(real=real @ turn, fake=fake[order] @ turn) == pytest.approx(distance, rel=1e-9)
    assert frechet_distance(real=real * scale, fake=fake * scale) == pytest.approx(distance * scale**2, rel=1e-9)


def test_statistics_may_be_stored_in_float32_and_are_computed_with_in_float64() -> None:
    exact = [fit_gaussian(features=mixed(200, 50, seed)) for seed in (1, 2)]
    stored = [Gaussian(side.mean.astype(np.float32), side.covariance.astype(np.float32)) for side in exact]
    widened = [Gaussian(side.mean.astype(np.float64), side.covariance.astype(np.float64)) for side in stored]
    distance = frechet_between(real=stored[0], fake=stored[1])
    assert distance == frechet_between(real=widened[0], fake=widened[1])
    assert distance == pytest.approx(frechet_between(real=exact[0], fake=exact[1]), rel=1e-5)


# --- Kernel distance


def naive_kernel_distance(real: Array, fake: Array) -> float:
    def mean(pairs: list[tuple[Array, Array]]) -> float:
        return sum((float(x @ y) / len(x) + 1) ** 3 for x, y in pairs) / len(pairs)

    def others(side: Array) -> list[tuple[Array, Array]]:
        return [(x, y) for i, x in enumerate(side) for j, y in enumerate(side) if i != j]

    return mean(others(real)) + mean(others(fake)) - 2 * mean(list(product(real, fake)))


def test_the_kernel_distance_of_whole_sets_is_that_of_a_double_loop() -> None:
    """Subsets are drawn without replacement: as large as the set, each of them is the set."""
    real, fake = normal(12, 5, seed=1), 0.5 + normal(12, 5, seed=2)
    score = kernel_distance(real=real, fake=fake, num_subsets=3, subset_size=12)
    assert score.mean == pytest.approx(naive_kernel_distance(real, fake), rel=1e-12)
    assert score.std == pytest.approx(0, abs=1e-12)


def test_the_kernel_distance_of_one_distribution_is_0_on_average_and_sometimes_negative() -> None:
    sizes = {"num_subsets": 1, "subset_size": 10}
    values = np.array(
        [kernel_distance(real=normal(10, 4, s), fake=normal(10, 4, 10_000 + s), **sizes).mean for s in range(400)]
    )
    error = values.std() / math.sqrt(len(values))
    assert error < 0.25  # the biased estimate compares each image with itself too, and is more than 2 too high
    assert abs(values.mean()) < 2 * error
    assert (values < 0).mean() > 0.3


def test_the_kernel_distance_grows_with_the_shift_and_is_symmetric() -> None:
    real, fake = normal(60, 6, seed=1), normal(60, 6, seed=2)
    sizes = {"num_subsets": 5, "subset_size": 60}
    scores = [kernel_distance(real=real, fake=fake + shift, **sizes).mean for shift in (0, 0.5, 1, 2)]
    assert scores == sorted(scores)
    assert kernel_distance(real=fake + 1, fake=real, **sizes).mean == pytest.approx(scores[2])


def test_the_seed_of_the_kernel_distance_decides_its_subsets() -> None:
    real, fake = normal(50, 3, seed=1), normal(40, 3, seed=2)
    first, again, other = (
        kernel_distance(real=real, fake=fake, num_subsets=5, subset_size=20, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again != other
    assert first.std > 0


# --- Inception Score


def test_the_inception_score_of_unsure_logits_is_1() -> None:
    assert inception_score(logits=np.zeros((40, 10))) == pytest.approx((1, 0))


def test_the_inception_score_of_sure_and_varied_logits_is_the_number_of_classes() -> None:
    logits = 1e4 * np.tile(np.eye(7), (3, 1))
    assert inception_score(logits=logits, splits=1) == pytest.approx((7, 0))
    assert inception_score(logits=1e4 * np.eye(7)[[2] * 20], splits=2) == pytest.approx((1, 0))


def test_the_inception_score_is_the_papers_formula() -> None:
    logits = 2 * normal(30, 5)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = math.exp((p * np.log(p / p.mean(axis=0))).sum(axis=1).mean())
    assert inception_score(logits=logits, splits=1).mean == pytest.approx(expected, rel=1e-12)
    assert inception_score(logits=logits + normal(30, 1), splits=1).mean == pytest.approx(expected, rel=1e-12)


def test_images_sorted_by_class_score_as_shuffled_ones() -> None:
    logits = 1e4 * np.repeat(np.eye(10), 20, axis=0)
    assert inception_score(logits=logits).mean > 7
    assert inception_score(logits=logits, seed=3) == inception_score(logits=logits, seed=3)


# --- Precision and recall, density and coverage


def naive_manifold(real: Array, fake: Array, k_precision: int, k_density: int) -> ManifoldMetrics:
    """Every distance by itself; exact for integers."""

    def squared(x: Array, y: Array) -> Any:
        return ((x - y) ** 2).sum()

    def radius(side: Array, index: int, k: int) -> Any:
        return sorted(squared(side[index], other) for j, other in enumerate(side) if j != index)[k - 1]

    closed_real = [radius(real, i, k_precision) for i in range(len(real))]
    closed_fake = [radius(fake, i, k_precision) for i in range(len(fake))]
    open_real = [radius(real, i, k_density) for i in range(len(real))]
    open_balls = [[squared(x, y) < r for y in fake] for x, r in zip(real, open_real, strict=True)]
    return ManifoldMetrics(
        precision=float(
            np.mean([any(squared(x, y) <= r for x, r in zip(real, closed_real, strict=True)) for y in fake])
        ),
        recall=float(np.mean([any(squared(x, y) <= r for y, r in zip(fake, closed_fake, strict=True)) for x in real])),
        density=float(np.sum(open_balls) / (k_density * len(fake))),
        coverage=float(np.mean(np.any(open_balls, axis=1))),
    )


@st.composite
def lattice_points(draw: st.DrawFn) -> Array:
    """Few places, so that twins and equal distances abound."""
    points = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=4, max_size=12))
    return np.array(points)


@settings(max_examples=60, deadline=None)
@given(
    real=lattice_points(),
    fake=lattice_points(),
    k_precision=st.integers(1, 3),
    k_density=st.integers(1, 3),
    offset=st.sampled_from([0, 10_000]),
)
def test_the_manifold_metrics_are_exact_with_ties_twins_and_blocks_smaller_than_the_set(
    real: Array, fake: Array, k_precision: int, k_density: int, offset: int
) -> None:
    with patch.object(metrics, "BLOCK", 3):
        ours = manifold_metrics(
            real=(real + offset).astype(np.float32),
            fake=(fake + offset).astype(np.float32),
            k_precision=k_precision,
            k_density=k_density,
        )
    assert ours == pytest.approx(naive_manifold(real, fake, k_precision, k_density), abs=1e-12)


@pytest.mark.parametrize("block", [1, 7, 16, 2048])
@pytest.mark.parametrize(("k_precision", "k_density"), [(3, 5), (14, 2), (1, 14)])
def test_the_manifold_metrics_agree_with_plain_code_in_many_dimensions(
    block: int, k_precision: int, k_density: int
) -> None:
    real, fake = mixed(50, 20, seed=1), mixed(35, 20, seed=2)
    with patch.object(metrics, "BLOCK", block):
        ours = manifold_metrics(real=real, fake=fake, k_precision=k_precision, k_density=k_density)
    plain = naive_manifold(real.astype(float), fake.astype(float), k_precision, k_density)
    assert ours == pytest.approx(plain, abs=1e-12)


def test_the_manifold_metrics_do_not_see_how_far_from_the_origin_the_features_lie() -> None:
    real, fake = normal(60, 5, seed=1), 0.5 + normal(50, 5, seed=2)
    near = manifold_metrics(real=real, fake=fake)
    assert 0 < near.recall < 1
    assert manifold_metrics(real=real + 1e7, fake=fake + 1e7) == near


def test_the_two_public_pairs_are_the_shared_computation() -> None:
    real, fake = normal(40, 3, seed=1), 0.5 + normal(30, 3, seed=2)
    precision, recall, density, coverage = manifold_metrics(real=real, fake=fake, k_precision=2, k_density=4)
    assert precision_recall(real=real, fake=fake, k=2) == (precision, recall)
    assert density_coverage(real=real, fake=fake, k=4) == (density, coverage)
    assert manifold_metrics(real=real, fake=fake)[:2] == precision_recall(real=real, fake=fake)
    assert manifold_metrics(real=real, fake=fake)[2:] == density_coverage(real=real, fake=fake)


def test_a_tight_cluster_of_fakes_has_high_precision_and_low_recall() -> None:
    real, fake = normal(200, 2, seed=1), 0.05 * normal(200, 2, seed=2)
    precision, recall = precision_recall(real=real, fake=fake)
    assert precision == 1
    assert recall < 0.05
    assert precision_recall(real=fake, fake=real) == (recall, precision)


def test_fakes_spread_beyond_the_reals_have_low_precision_and_high_recall() -> None:
    precision, recall = precision_recall(real=normal(200, 2, seed=1), fake=10 * normal(200, 2, seed=2))
    assert precision < 0.2
    assert recall > 0.9


def test_a_dropped_mode_costs_recall_and_coverage_but_no_precision() -> None:
    modes = np.vstack([normal(100, 3, seed=1), 100 + normal(100, 3, seed=2)])
    one_mode = normal(200, 3, seed=3)
    precision, recall, _, coverage = manifold_metrics(real=modes, fake=one_mode)
    assert precision > 0.8
    assert 0.35 < recall <= 0.5
    assert 0.35 < coverage <= 0.5


def test_one_real_outlier_saves_the_precision_of_bad_fakes_but_not_their_density() -> None:
    outlier = np.full((1, 2), 50.0)
    real, bad = np.vstack([normal(100, 2, seed=1), outlier]), 25 + normal(100, 2, seed=2)
    precision, _, density, _ = manifold_metrics(real=real, fake=bad)
    assert precision == 1
    assert density == pytest.approx(1 / 5)
    assert manifold_metrics(real=real[:-1], fake=bad)[::2] == (0, 0)


def test_disjoint_clusters_share_nothing() -> None:
    real = normal(50, 3, seed=1)
    assert manifold_metrics(real=real, fake=real + 1000) == (0, 0, 0, 0)


@pytest.mark.parametrize("offset", [0, 1e4])
def test_a_set_and_itself_agree_wholly(offset: float) -> None:
    """Density is exactly 1, since the open ball leaves out the k-th neighbour where the image itself comes in."""
    features = (normal(300, 10, seed=1) + offset).astype(np.float32)
    with patch.object(metrics, "BLOCK", 128):
        assert manifold_metrics(real=features, fake=features[::-1]) == (1, 1, 1, 1)


def test_twins_are_at_distance_0_even_far_from_the_origin() -> None:
    """Where every real image occurs k + 1 times the balls are points: closed ones hold a copy, open ones nothing."""
    few = 1e3 + mixed(5, 50, seed=1)
    real = np.repeat(few, 4, axis=0)
    assert precision_recall(real=real, fake=real, k=3) == (1, 1)
    assert density_coverage(real=real, fake=real, k=3) == (0, 0)
    nudged = real * (1 + 1e-4)
    assert precision_recall(real=real, fake=nudged, k=3) == (0, 0)


def test_precision_counts_a_fake_on_the_rim_and_density_does_not() -> None:
    real, fake = np.array([[0.0], [1.0]]), np.array([[2.0], [7.0]])
    assert precision_recall(real=real, fake=fake, k=1).precision == 0.5
    assert density_coverage(real=real, fake=fake, k=1) == (0, 0)


def test_coverage_counts_reals_not_fakes() -> None:
    real, fake = np.array([[0.0], [1.0], [10.0], [11.0]]), np.array([[0.1], [0.2], [0.3], [0.4], [0.5]])
    assert density_coverage(real=real, fake=fake, k=1) == (2.0, 0.5)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(1e-6, 1e6))
def test_the_manifold_metrics_are_blind_to_order_rotation_and_scale(seed: int, scale: float) -> None:
    real, fake = normal(40, 6, seed), 0.7 * normal(30, 6, seed + 1)
    turn = scale * rotation(6, seed)
    order = np.random.default_rng(seed).permutation(30)
    assert manifold_metrics(real=real @ turn, fake=fake[order] @ turn) == manifold_metrics(real=real, fake=fake)


def test_the_distances_are_never_held_all_at_once() -> None:
    real, fake = normal(2000, 4, seed=1), normal(2000, 4, seed=2)
    with patch.object(metrics, "BLOCK", 128):
        tracemalloc.start()
        manifold_metrics(real=real, fake=fake)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 2000 * 2000 * 8 / 10


# --- Bad input

GOOD = normal(20, 3)
METRICS: dict[str, Callable[[Array, Array], object]] = {
    "frechet": lambda real, fake: frechet_distance(real=real, fake=fake),
    "kernel": lambda real, fake: kernel_distance(real=real, fake=fake, subset_size=5),
    "precision_recall": lambda real, fake: precision_recall(real=real, fake=fake),
    "density_coverage": lambda real, fake: density_coverage(real=real, fake=fake),
}


def with_value(value: float) -> Array:
    features = GOOD.copy()
    features[7, 2] = value
    return features


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (with_value(math.nan), r"fake\[7, 2\] is nan; all values must be finite"),
        (with_value(-math.inf), r"fake\[7, 2\] is -inf"),
        (GOOD[:1], r"fake has 1 images; .* needs at least"),
        (GOOD[:, 0], r"fake must be \(N, D\).*shape is \(20,\)"),
        (GOOD[:, :2], r"real has 3 features and fake 2"),
    ],
)
def test_bad_features_are_refused_with_the_reason(metric: str, bad: Array, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        METRICS[metric](GOOD, bad)
    with pytest.raises(ValueError, match=complaint.replace("fake", "real", 1) if "features" not in complaint else "2"):
        METRICS[metric](bad, GOOD)


@pytest.mark.parametrize("size", [21, 1, 0])
def test_a_subset_that_cannot_be_drawn_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"subset_size is {size}; .* 20 real and 25 fake images.* from 2 to 20"):
        kernel_distance(real=GOOD, fake=normal(25, 3), subset_size=size)
    with pytest.raises(ValueError, match="num_subsets is 0"):
        kernel_distance(real=GOOD, fake=GOOD, subset_size=5, num_subsets=0)


@pytest.mark.parametrize("splits", [0, 11, 21])
def test_more_splits_than_pairs_of_images_are_refused(splits: int) -> None:
    with pytest.raises(ValueError, match=f"splits is {splits} for 20 images; it must be from 1 to 10"):
        inception_score(logits=GOOD, splits=splits)
    with pytest.raises(ValueError, match=r"logits\[7, 2\] is nan"):
        inception_score(logits=with_value(math.nan))


def test_more_neighbours_than_images_are_refused() -> None:
    with pytest.raises(ValueError, match="real has 3 images; 3 neighbours besides itself needs at least 4"):
        precision_recall(real=GOOD[:3], fake=GOOD)
    with pytest.raises(ValueError, match="fake has 5 images; 5 neighbours besides itself needs at least 6"):
        manifold_metrics(real=GOOD, fake=GOOD[:5])
    with pytest.raises(ValueError, match="k is 0; at least 1"):
        density_coverage(real=GOOD, fake=GOOD, k=0)


@pytest.mark.parametrize(
    ("mean", "covariance", "complaint"),
    [
        (np.zeros(3), np.eye(4), r"these are \(3,\) and \(4, 4\)"),
        (np.zeros((3, 3)), np.eye(3), r"these are \(3, 3\) and \(3, 3\)"),
        (np.full(3, math.nan), np.eye(3), "NaN or infinite"),
        (np.zeros(3), np.tri(3), "a covariance must be symmetric"),
    ],
)
def test_statistics_that_are_no_gaussian_are_refused(mean: Array, covariance: Array, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Gaussian(mean, covariance)


def test_statistics_that_do_not_fit_are_refused() -> None:
    good = fit_gaussian(features=GOOD)
    with pytest.raises(ValueError, match="real has 3 features and fake 2"):
        frechet_between(real=good, fake=fit_gaussian(features=GOOD[:, :2]))
    with pytest.raises(ValueError, match=r"no negative eigenvalue; this one has -2"):
        frechet_between(real=Gaussian(np.zeros(3), np.diag([1.0, 5, -2])), fake=good)
