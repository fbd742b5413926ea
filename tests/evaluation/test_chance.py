"""Thresholds and intervals against closed forms and SciPy's."""

import numpy as np
import pytest

from cxrgan.evaluation.chance import chance_below, tail_threshold, wilson

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("num", [50, 200, 2000])
def test_a_threshold_is_passed_as_rarely_as_it_promises_however_few_scores_there_are(num: int) -> None:
    random = np.random.default_rng(0)
    thresholds = np.array([tail_threshold(random.exponential(size=num), 1e-4) for _ in range(2000)])
    assert np.exp(-thresholds).mean() == pytest.approx(1e-4, rel=0.35)


def test_a_threshold_scales_with_the_scores() -> None:
    scores = np.random.default_rng(1).exponential(size=300)
    assert tail_threshold(3 * scores + 1, 1e-5) == pytest.approx(3 * tail_threshold(scores, 1e-5) + 1)


def test_without_a_tail_the_threshold_is_the_highest_score() -> None:
    assert tail_threshold(np.zeros(100), 1e-5) == 0


@pytest.mark.parametrize(("found", "num"), [(0, 618), (14, 618), (50, 50)])
def test_the_interval_of_a_share_is_scipys(found: int, num: int) -> None:
    expected = stats.binomtest(found, num).proportion_ci(method="wilson")
    np.testing.assert_allclose(wilson(found, num), expected, atol=1e-7)


@pytest.mark.parametrize(("rank", "others", "num"), [(6, 618, 618), (6, 618, 5190), (1, 50, 20)])
def test_the_share_below_a_rank_is_that_of_the_negative_hypergeometric_distribution(
    rank: int, others: int, num: int
) -> None:
    expected = stats.betabinom(num, rank, others + 1 - rank).ppf([0.025, 0.975]) / num
    np.testing.assert_allclose(chance_below(rank, others, num), expected)
