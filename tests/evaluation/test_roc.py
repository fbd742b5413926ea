"""The AUC and its resamples, against closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cxrgan.evaluation.roc import auc, class_auc, patient_resamples


def two_classes(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([1 - scores, scores], 1)


def test_auc_of_separated_reversed_and_equal_scores() -> None:
    low, high = np.array([0.1, 0.2]), np.array([0.3, 0.9, 0.4])
    assert auc(positive=high, negative=low) == 1
    assert auc(positive=low, negative=high) == 0
    assert auc(positive=np.ones(3), negative=np.ones(4)) == 0.5


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1), st.lists(st.integers(0, 5), min_size=1))
def test_auc_is_the_share_of_pairs_in_order(positive: list[int], negative: list[int]) -> None:
    pairs = [(p > n) + (p == n) / 2 for p in positive for n in negative]
    assert auc(positive=np.array(positive, float), negative=np.array(negative, float)) == pytest.approx(np.mean(pairs))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 3)), min_size=1, max_size=30))
def test_a_weight_counts_an_image_as_often_as_it_says(images: list[tuple[int, bool, int]]) -> None:
    scores, positive, weights = (np.array(column) for column in zip(*images, strict=True))
    (found,) = class_auc(two_classes(scores / 4), positive.astype(np.int64), weights[None].astype(float))
    sides = [np.repeat(scores[side], weights[side]).astype(float) for side in (positive, ~positive)]
    if all(len(side) for side in sides):
        assert found == pytest.approx(auc(positive=sides[0], negative=sides[1]))
    else:
        assert np.isnan(found)


def test_of_three_classes_it_is_the_mean_of_each_against_the_rest() -> None:
    random = np.random.default_rng(0)
    labels, shares = random.integers(3, size=200), random.dirichlet(np.ones(3), size=200)
    each = [auc(positive=shares[labels == k, k], negative=shares[labels != k, k]) for k in range(3)]
    assert class_auc(shares, labels, np.ones((1, 200)))[0] == pytest.approx(np.mean(each))


def test_a_resample_draws_as_many_patients_as_there_are_each_with_all_images() -> None:
    patients = np.array([0, 0, 0, 1, 2, 2, 3])
    drawn = patient_resamples(patients, 50, seed=0)
    _, first = np.unique(patients, return_index=True)
    assert (drawn[:, first].sum(1) == 4).all()
    assert (drawn == drawn[:, first][:, patients]).all()
    assert np.array_equal(drawn, patient_resamples(patients, 50, seed=0))
    assert not np.array_equal(drawn, patient_resamples(patients, 50, seed=1))


def scored(num: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Scores of two classes that overlap, and the classes."""
    random = np.random.default_rng(3)
    labels = np.arange(num) % 2
    return 1 / (1 + np.exp(-random.normal(labels, 1.0))), labels


def test_resamples_of_single_images_have_the_deviation_of_delong() -> None:
    """DeLong et al. 1988: the variance of an AUC from the shares of pairs that each image wins."""
    scores, labels = scored(300)
    wins = (scores[labels == 1][:, None] > scores[labels == 0]).astype(float)
    delong = np.sqrt(wins.mean(1).var(ddof=1) / len(wins) + wins.mean(0).var(ddof=1) / wins.shape[1])
    resampled = class_auc(two_classes(scores), labels, patient_resamples(np.arange(300), 2000, seed=0))
    assert resampled.std() == pytest.approx(delong, rel=0.06)
    assert resampled.mean() == pytest.approx(wins.mean(), abs=delong / 10)


def test_five_images_of_each_patient_tell_no_more_than_one() -> None:
    """Drawn image by image, copies would promise a deviation smaller by the root of five."""
    scores, labels = scored(120)
    copies, of_copies, patients = np.repeat(scores, 5), np.repeat(labels, 5), np.repeat(np.arange(120), 5)
    one = class_auc(two_classes(scores), labels, patient_resamples(np.arange(120), 2000, seed=0))
    by_patient = class_auc(two_classes(copies), of_copies, patient_resamples(patients, 2000, seed=0))
    by_image = class_auc(two_classes(copies), of_copies, patient_resamples(np.arange(600), 2000, seed=0))
    assert by_patient == pytest.approx(one)
    assert by_image.std() == pytest.approx(by_patient.std() / 5**0.5, rel=0.1)
