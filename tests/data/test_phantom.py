"""The phantom: deterministic, the same at every size, and recognisably a chest."""

import hashlib
import multiprocessing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cxrgan.data.phantom import CLASSES, Anatomy, Beam, beam_through, draw_anatomy, phantom, phantoms
from cxrgan.errors import UserError

SIZE = 64
PATIENTS = range(24)


def patient(index: int) -> tuple[Anatomy, Beam, NDArray[np.uint8], NDArray[np.uint8]]:
    """Anatomy, ray positions, healthy and sick film of a patient of seed 0."""
    anatomy = draw_anatomy(np.random.default_rng([0, index]))
    healthy, sick = (phantom(0, index, SIZE, label) for label in CLASSES)
    return anatomy, beam_through(anatomy, SIZE), healthy, sick


def lung_fields(anatomy: Anatomy, beam: Beam) -> NDArray[np.bool_]:
    """Pixels well inside the lungs of an average patient, (SIZE, SIZE)."""
    top, bottom = anatomy.thorax.apex + 0.35, anatomy.thorax.domes[0] - 0.35
    fields: NDArray[np.bool_] = (np.abs(beam.aside - 0.42) < 0.1) & (beam.v > top) & (beam.v < bottom)
    return fields


def digest(index: int) -> str:
    return hashlib.sha256(phantom(3, index, SIZE, CLASSES[index % 2]).tobytes()).hexdigest()


def test_an_image_depends_on_nothing_that_was_made_before_or_beside_it() -> None:
    alone = phantom(3, 5, SIZE, "PNEUMONIA")
    few, many = list(phantoms(6, SIZE, seed=3)), list(phantoms(9, SIZE, seed=3))
    for made in (few, many):
        image, label = made[5]
        assert label == "PNEUMONIA"
        assert image.tobytes() == alone.tobytes()


def test_another_process_makes_the_same_bytes() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(digest, range(3)) == [digest(index) for index in range(3)]


def test_every_index_and_every_seed_is_another_patient() -> None:
    films = [phantom(seed, index, 32, "NORMAL") for seed in range(3) for index in range(8)]
    for i, film in enumerate(films):
        for other in films[:i]:
            assert np.abs(film.astype(int) - other).mean() > 3


def test_half_of_the_patients_are_sick() -> None:
    labels = [label for _, label in phantoms(10, 16, seed=0)]
    assert [labels.count(label) for label in CLASSES] == [5, 5]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(size=st.integers(16, 256), index=st.integers(0, 10**6), label=st.sampled_from(CLASSES))
def test_any_size_gives_a_film_with_contrast(size: int, index: int, label: str) -> None:
    film = phantom(1, index, size, label)
    assert film.shape == (size, size)
    assert film.dtype == np.uint8
    dark, bright = np.percentile(film, [2, 98])
    assert bright - dark > 80
    assert 50 < film.mean() < 200
    assert (film == 255).mean() < 0.05


@pytest.mark.parametrize("size", [128, 256])
def test_a_patient_looks_the_same_at_every_size(size: int) -> None:
    for index in range(6):
        small = phantom(2, index, SIZE, CLASSES[index % 2]).astype(float)
        large = phantom(2, index, size, CLASSES[index % 2]).astype(float)
        block = size // SIZE
        shrunk = large.reshape(SIZE, block, SIZE, block).mean(axis=(1, 3))
        assert np.abs(shrunk - small).mean() < 2
        assert np.corrcoef(shrunk.ravel(), small.ravel())[0, 1] > 0.99


def test_lungs_are_darker_than_the_mediastinum_and_the_belly() -> None:
    for index in PATIENTS:
        anatomy, beam, healthy, _ = patient(index)
        lungs = healthy[lung_fields(anatomy, beam)].mean()
        level = np.abs(beam.v - anatomy.mediastinum.hilum) < 0.25
        spine = healthy[(beam.aside < anatomy.skeleton.spine_width) & level].mean()
        belly = healthy[(beam.aside < 0.4) & (beam.v > anatomy.thorax.domes[1] + 0.1)].mean()
        assert lungs < spine - 25
        assert lungs < belly - 25


def test_the_heart_lies_to_the_right_of_the_image() -> None:
    for index in PATIENTS:
        anatomy, beam, healthy, _ = patient(index)
        level = np.abs(beam.v - anatomy.mediastinum.heart[1]) < 0.12
        beside = (beam.aside > 0.25) & (beam.aside < 0.4) & level
        assert healthy[beside & (beam.u > 0)].mean() > healthy[beside & (beam.u < 0)].mean() + 10


def test_the_right_diaphragm_is_the_higher_one() -> None:
    difference = []
    for index in PATIENTS:
        anatomy, beam, healthy, _ = patient(index)
        dome = (np.abs(beam.aside - 0.42) < 0.1) & (np.abs(beam.v - np.mean(anatomy.thorax.domes)) < 0.03)
        difference.append(healthy[dome & (beam.u < 0)].mean() - healthy[dome & (beam.u > 0)].mean())
    assert np.mean(difference) > 8


def test_pneumonia_makes_the_lungs_brighter_and_leaves_the_rest_alone() -> None:
    for index in PATIENTS:
        anatomy, beam, healthy, sick = patient(index)
        change = sick.astype(int) - healthy
        assert change[lung_fields(anatomy, beam)].mean() > 4
        assert change.min() >= -2  # rounding, and less quantum noise where the film is lighter
        outside = (beam.aside > anatomy.thorax.half_width + 0.05) | (beam.v < anatomy.thorax.apex - 0.05)
        assert not change[outside].any()


@pytest.mark.parametrize("label", ["normal", "TUBERCULOSIS", ""])
def test_an_unknown_label_is_refused_and_named(label: str) -> None:
    with pytest.raises(UserError, match=f"{label!r}.*NORMAL or PNEUMONIA"):
        phantom(0, 0, SIZE, label)


@pytest.mark.parametrize("size", [-1, 0, 15, 1025])
def test_a_size_out_of_range_is_refused_and_named(size: int) -> None:
    with pytest.raises(UserError, match=f"{size} pixels.*16 to 1024"):
        phantom(0, 0, size, "NORMAL")


def test_a_negative_seed_or_index_is_refused() -> None:
    for seed, index in ((-1, 0), (0, -1)):
        with pytest.raises(UserError, match="negative"):
            phantom(seed, index, SIZE, "NORMAL")
