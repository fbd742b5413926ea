"""The search for copies: it names the original, and density, duplicates, size and blocks do not mislead it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from cxrgan.evaluation import copies
from cxrgan.evaluation.copies import MIRRORED, PATCHES, WHOLE, Matches, Window, find_copies, patient_codes

RANDOM = np.random.default_rng(0)


def blobs(num: int, size: int = 64) -> NDArray[np.uint8]:
    """(num, size, size) of smooth noise, the same at every size but for the detail."""
    coarse = RANDOM.normal(size=(num, 16, 16))
    fine = np.kron(coarse, np.ones((size // 16, size // 16)))
    return (128 + 30 * fine).clip(0, 255).astype(np.uint8)


TRAIN, FRESH = blobs(80), blobs(20)
NOBODY = np.arange(80)


def look(images: NDArray[np.uint8], window: Window = WHOLE, train: NDArray[np.uint8] = TRAIN) -> Matches:
    return find_copies(images, train, NOBODY, window)


def test_shifted_and_brightened_copies_name_their_originals() -> None:
    copied = np.roll(TRAIN[5:25], (2, -3), (1, 2)) // 2 + 90
    found = look(copied.astype(np.uint8))
    np.testing.assert_array_equal(found.train, np.arange(5, 25))
    assert found.correlation.min() > 0.97
    assert found.evidence.min() > 2 > 1 > look(FRESH).evidence.max()


def test_a_shift_beyond_the_window_is_no_match() -> None:
    assert look(np.roll(TRAIN[:20], 12, 1)).evidence.max() < 1


def test_a_mirror_image_names_its_original() -> None:
    mirrored = np.roll(TRAIN[5:25], (2, -3), (1, 2))[:, :, ::-1] // 2 + 90
    found = look(mirrored, MIRRORED)
    np.testing.assert_array_equal(found.train, np.arange(5, 25))
    assert found.evidence.min() > 2 > 1 > look(mirrored).evidence.max()
    assert look(TRAIN[5:25], MIRRORED).evidence.max() < 1


def test_a_pasted_part_is_found_where_it_is() -> None:
    made = FRESH.copy()
    made[:, 8:32, 32:56] = TRAIN[:20, 8:32, 32:56]
    found = look(made, PATCHES)
    np.testing.assert_array_equal(found.train, np.arange(20))
    assert (abs(found.centre - [20 / 64, 44 / 64]) <= 8 / 64).all()
    assert look(made).evidence.max() < 1  # the whole is not a copy


def test_flat_images_are_no_copies_of_each_other() -> None:
    flat = np.full((3, 64, 64), 7, dtype=np.uint8)
    flat[1:] += RANDOM.integers(0, 2, (2, 64, 64), dtype=np.uint8)
    train = np.concatenate([flat[:1], TRAIN[1:]])
    for window in (WHOLE, PATCHES):
        assert look(flat, window, train).evidence.max() < 0.2


def test_duplicates_of_an_original_do_not_hide_its_copy() -> None:
    train = np.concatenate([TRAIN[:1]] * 5 + [TRAIN[5:]])
    assert look(TRAIN[:1], train=train).evidence[0] > 2


def test_a_patients_series_does_not_hide_a_copy() -> None:
    series = (0.97 * TRAIN[:1] + 0.03 * TRAIN[:20]).astype(np.uint8)
    train = np.concatenate([series, TRAIN[20:]])
    patients = patient_codes(["one"] * 20 + [None] * 60)
    assert find_copies(TRAIN[:1], train, patients, WHOLE).evidence[0] > 2
    assert find_copies(TRAIN[:1], train, NOBODY, WHOLE).evidence[0] < 1


def test_images_near_to_many_training_images_are_not_taken_for_copies() -> None:
    """Typical images, as a generator that prefers modes makes them: nearer to the nearest, and to all the others."""
    centre = blobs(1).astype(float)
    train = (centre + 0.4 * (TRAIN - 128.0)).clip(0, 255).astype(np.uint8)
    typical = (centre + 0.05 * (FRESH - 128.0)).clip(0, 255).astype(np.uint8)
    usual = (centre + 0.4 * (FRESH - 128.0)).clip(0, 255).astype(np.uint8)
    assert look(typical, train=train).correlation.min() > look(usual, train=train).correlation.max()
    assert look(typical, train=train).evidence.max() < 1


@pytest.mark.parametrize("window", [WHOLE, PATCHES])
def test_blocks_and_chunks_change_nothing(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    before = look(FRESH, window)
    monkeypatch.setattr(copies, "BLOCK", 30)
    monkeypatch.setattr(copies, "CHUNK", 7)
    after = look(FRESH, window)
    np.testing.assert_array_equal(before.train, after.train)
    np.testing.assert_allclose(before.evidence, after.evidence, atol=1e-5)


@pytest.mark.parametrize("size", [32, 96, 128])
def test_images_of_every_size_are_compared(size: int) -> None:
    train = blobs(40, size)
    found = find_copies(train[:10], train, NOBODY[:40], WHOLE)
    np.testing.assert_array_equal(found.train, np.arange(10))
    assert found.evidence.min() > 2


def test_unknown_patients_are_patients_of_their_own() -> None:
    assert patient_codes(["a", None, "a", None]).tolist() == [0, 1, 0, 2]
