"""What is measured on an image, against drawn pictures and phantoms whose anatomy is known."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from cxrgan.data.phantom import MIN_RAYS, Anatomy, attenuation, cage_width, develop, draw_anatomy, expose
from cxrgan.generation.attributes import EXPLAINED, attributes, borders

PATIENTS = range(24)


def anatomy(patient: int) -> Anatomy:
    return draw_anatomy(np.random.default_rng([7, patient]))


def film(of: Anatomy, size: int = 64) -> NDArray[np.uint8]:
    rays = size * math.ceil(MIN_RAYS / size)
    return develop(expose(attenuation(of, rays, sick=False), size, of, np.random.default_rng(0)), of.exposure)


def measured(name: str, patients: list[Anatomy], size: int = 64) -> NDArray[np.float64]:
    return attributes(np.stack([film(each, size) for each in patients]))[name]


def with_heart(of: Anatomy, times: float) -> Anatomy:
    u, v, along, across, tilt = of.mediastinum.heart
    return replace(of, mediastinum=replace(of.mediastinum, heart=(u, v, times * along, times * across, tilt)))


def cardiothoracic_ratio(of: Anatomy) -> float:
    """Of the heart's ellipse, which is projected on the horizontal, to the widest place of the rib cage."""
    _, _, along, across, tilt = of.mediastinum.heart
    levels = np.linspace(of.thorax.apex, max(of.thorax.domes), 200)
    return math.hypot(along * math.cos(tilt), across * math.sin(tilt)) / float(cage_width(levels, of.thorax).max())


def ranks(values: "NDArray[np.float64] | list[float]") -> NDArray[np.int64]:
    return np.argsort(np.argsort(values))


def drawn(side: int = 64, heart: tuple[float, float] = (0.4, 0.6), air: int = 0) -> NDArray[np.uint8]:
    """Air, body, lung, heart, lung, body, air from left to right; lungs from 0.2 to 0.8 of the width."""
    x = (np.arange(side * 16) + 0.5) / (side * 16)
    line = np.select([abs(x - 0.5) > 0.4, abs(x - 0.5) > 0.3, (heart[0] < x) & (x < heart[1])], [air, 180, 200], 60)
    return np.tile(line.reshape(side, 16).mean(1).round().astype(np.uint8), (1, side, 1))


@pytest.mark.parametrize("side", [32, 64, 96, 128, 200, 256])
@pytest.mark.parametrize("heart", [(0.4, 0.6), (0.38, 0.65)])
def test_drawn_borders_are_found_to_a_third_of_a_pixel(side: int, heart: tuple[float, float]) -> None:
    image = drawn(side, heart)
    found, pixel = borders(image), 1 / side
    for border, true in zip((*found.chest, *found.heart), (0.2, 0.8, *heart), strict=True):
        assert np.abs(border - true).max() < pixel / 3
    assert found.clear.all()
    assert attributes(image)["heart size"] == pytest.approx((heart[1] - heart[0]) / 0.6, abs=1 / min(side, 64))


def test_dark_air_beside_the_body_is_no_lung() -> None:
    for air in (180, 0):
        assert attributes(drawn(air=air))["chest width"] == pytest.approx(0.6, abs=0.01)


def test_shapes_do_not_hang_on_the_exposure() -> None:
    images = np.stack([film(anatomy(patient)) for patient in PATIENTS[:6]])
    paler = (images * 0.6 + 60).round().astype(np.uint8)
    before, after = attributes(images), attributes(paler)
    for name in ("heart size", "chest width"):
        np.testing.assert_allclose(after[name], before[name], atol=0.015)
    np.testing.assert_allclose(after["exposure"], 0.6 * before["exposure"] + 60, atol=0.1)
    np.testing.assert_allclose(after["contrast"], 0.6 * before["contrast"], atol=0.1)


@pytest.mark.parametrize("size", [64, 128])
def test_a_larger_heart_in_the_same_chest_measures_larger(size: int) -> None:
    patients = [anatomy(patient) for patient in PATIENTS]
    small, large = (measured("heart size", [with_heart(of, times) for of in patients], size) for times in (0.85, 1.15))
    assert (large > small + 0.03).mean() > 0.9


def test_the_heart_size_of_healthy_phantoms_ranks_them_as_their_cardiothoracic_ratio_does() -> None:
    patients = [anatomy(patient) for patient in range(60)]
    true, found = [cardiothoracic_ratio(of) for of in patients], measured("heart size", patients)
    assert np.corrcoef(ranks(true), ranks(found))[0, 1] > 0.75


def test_the_chest_width_grows_with_the_chest() -> None:
    patients = [anatomy(patient) for patient in PATIENTS]
    wider = [replace(of, view=replace(of.view, aspect=1.1 * of.view.aspect)) for of in patients]
    ratio = measured("chest width", wider) / measured("chest width", patients)
    assert np.median(ratio) == pytest.approx(1.1, abs=0.02)


@pytest.mark.parametrize("degrees", [-6.0, 6.0])
def test_a_rolled_patient_is_tilted_to_that_side_by_about_two_thirds_of_the_angle(degrees: float) -> None:
    """Of a rolled ellipse the middles of horizontal chords lie on a line between its axis and the vertical."""
    upright = [replace(of, view=replace(of.view, roll=0.0)) for of in map(anatomy, PATIENTS)]
    rolled = [replace(of, view=replace(of.view, roll=math.radians(degrees))) for of in upright]
    turned = measured("tilt", rolled) - measured("tilt", upright)
    assert np.median(turned) == pytest.approx(degrees * 2 / 3, abs=1)


@pytest.mark.parametrize("side", [32, 66, 150, 256])
def test_any_picture_has_finite_attributes(side: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, side, side)).astype(np.uint8)
    for images in (noise, np.zeros_like(noise), np.full_like(noise, 255)):
        found = attributes(images)
        assert list(found) == list(EXPLAINED)
        assert all(values.shape == (2,) and np.isfinite(values).all() for values in found.values())
