"""How near images lie: fresh draws as near as held-out ones, and training images apart from their own patients."""

import numpy as np
import pytest
from numpy.typing import NDArray

from cxrgan.evaluation.metrics import nearest
from cxrgan.evaluation.nearness import Nearness, Side, nearness

RANDOM = np.random.default_rng(0)
TRAIN, HELD_OUT, FRESH = (RANDOM.normal(size=(num, 8)) for num in (900, 400, 500))
PATIENTS = np.arange(900)


def side(features: NDArray[np.float64]) -> Side:
    return Side(features, np.full(len(features), ""))


def measure(fake: NDArray[np.float64]) -> tuple[Nearness, ...]:
    rows, _ = nearness(fake=side(fake), train=side(TRAIN), held_out=side(HELD_OUT), patients=PATIENTS, seed=0)
    return tuple(rows)


def test_nearest_is_the_brute_force_minimum() -> None:
    distance, index = nearest(of=HELD_OUT, among=TRAIN)
    every = np.linalg.norm(HELD_OUT[:, None] - TRAIN[None], axis=2)
    np.testing.assert_array_equal(index, every.argmin(1))
    np.testing.assert_allclose(distance, every.min(1), rtol=1e-9)


def test_fresh_draws_held_out_and_training_images_are_alike() -> None:
    generated, held_out, train = measure(FRESH)
    assert generated.median == pytest.approx(held_out.median, rel=0.05) == pytest.approx(train.median, rel=0.05)
    assert (
        generated.authentic == pytest.approx(held_out.authentic, abs=0.07) == pytest.approx(train.authentic, abs=0.07)
    )
    for each in (generated, train):
        assert each.nearer_to_train == pytest.approx(0.5, abs=0.05)
    assert held_out.too_near == pytest.approx(3 / 400)  # three are nearer than the fourth


def test_a_share_of_copies_is_too_near_and_not_authentic() -> None:
    fake = FRESH.copy()
    fake[:50] = TRAIN[300:350] + 1e-3 * RANDOM.normal(size=(50, 8))
    generated, *_ = measure(fake)
    before, *_ = measure(FRESH)
    assert generated.too_near >= 0.1
    assert before.authentic - generated.authentic == pytest.approx(0.1 * before.authentic, abs=0.03)
    low, high = generated.too_near_interval
    assert low < generated.too_near < high


def test_training_images_are_not_compared_with_their_own_patient() -> None:
    twins = np.concatenate([TRAIN[:450], TRAIN[:450] + 1e-6])
    rows, _ = nearness(
        fake=side(FRESH), train=side(twins), held_out=side(HELD_OUT), patients=np.tile(np.arange(450), 2), seed=0
    )
    expected = np.linalg.norm(TRAIN[:450, None] - TRAIN[None, :450], axis=2)
    np.fill_diagonal(expected, np.inf)
    assert rows[2].median == pytest.approx(np.median(expected.min(1)), rel=1e-4)


def test_the_control_draws_the_classes_of_the_held_out_images() -> None:
    """Training images of a class that is not held out would be nearer to generated ones of that class."""
    train = Side(np.concatenate([TRAIN[:300], TRAIN[300:] + 100]), np.array(["A"] * 300 + ["B"] * 600))
    held_out = Side(np.concatenate([HELD_OUT[:200], HELD_OUT[200:220] + 100]), np.array(["A"] * 200 + ["B"] * 20))
    fake = Side(FRESH + 100, np.array(["B"] * 500))
    rows, _ = nearness(fake=fake, train=train, held_out=held_out, patients=PATIENTS, seed=0)
    assert rows[0].nearer_to_train == pytest.approx(0.5, abs=0.1)
