"""Copies are found, and fresh draws of the same distribution are not taken for copies."""

import numpy as np
import pytest

from cxrgan.evaluation.memorisation import memorisation
from cxrgan.evaluation.metrics import nearest

RANDOM = np.random.default_rng(0)
TRAIN, HELD_OUT = RANDOM.normal(size=(900, 8)), RANDOM.normal(size=(400, 8))


def test_nearest_is_the_brute_force_minimum() -> None:
    distance, index = nearest(of=HELD_OUT, among=TRAIN)
    every = np.linalg.norm(HELD_OUT[:, None] - TRAIN[None], axis=2)
    np.testing.assert_array_equal(index, every.argmin(1))
    np.testing.assert_allclose(distance, every.min(1), rtol=1e-9)


def test_fresh_draws_are_as_near_as_held_out_images() -> None:
    found = memorisation(fake=RANDOM.normal(size=(500, 8)), train=TRAIN, held_out=HELD_OUT)
    assert found.fake_to_train == pytest.approx(found.held_out_to_train, rel=0.05)
    assert found.too_near < 0.04


def test_copies_are_counted_and_come_first_with_their_originals() -> None:
    fake = RANDOM.normal(size=(500, 8))
    fake[100:150] = TRAIN[300:350] + 1e-3 * RANDOM.normal(size=(50, 8))
    found = memorisation(fake=fake, train=TRAIN, held_out=HELD_OUT)
    assert 0.1 <= found.too_near < 0.14
    assert set(found.worst[:50]) == set(range(100, 150))
    assert set(found.worst_train[:50]) == set(range(300, 350))
    np.testing.assert_array_equal(found.worst_train[:50] - 200, found.worst[:50])


def test_features_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match=r"of\[0, 0\] is nan"):
        memorisation(fake=np.full((3, 8), np.nan), train=TRAIN, held_out=HELD_OUT)
