"""Conversions, resize and grids."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cxrgan.images import Fit, grid, resize, save_png, to_float, to_uint8


def test_all_256_grey_values_survive_the_round_trip() -> None:
    values = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_float(values)), values)
    assert to_float(values).min() == -1
    assert to_float(values).max() == 1


def test_values_outside_the_range_are_clipped_not_wrapped() -> None:
    assert to_uint8(torch.tensor([-1.5, 1.5])).tolist() == [0, 255]


def test_downscaling_is_antialiased() -> None:
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (64, 32))  # one pixel wide: grey from afar
    small = np.asarray(resize(Image.fromarray(stripes), 16, "crop"))
    assert abs(int(small.mean()) - 127) <= 2
    assert small.std() < 4


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_every_fit_gives_a_square(fit: Fit) -> None:
    assert resize(Image.new("L", (300, 200), 128), 64, fit).size == (64, 64)


def test_crop_keeps_the_middle_and_pad_keeps_everything() -> None:
    picture = np.zeros((100, 300), dtype=np.uint8)
    picture[:, 100:200] = 200
    assert np.asarray(resize(Image.fromarray(picture), 50, "crop"))[:, 5:-5].min() >= 195
    padded = np.asarray(resize(Image.fromarray(picture), 60, "pad"))
    assert padded[:19].max() == 0
    assert padded[25:35, 25:35].min() >= 195


def test_a_grid_lays_images_row_by_row() -> None:
    images = np.stack([np.full((4, 4), value, dtype=np.uint8) for value in (10, 20, 30)])
    sheet = grid(images, columns=2, gap=1)
    assert sheet.shape == (11, 11)
    assert (sheet[1, 1], sheet[1, 6], sheet[6, 1], sheet[6, 6]) == (10, 20, 30, 255)


def test_a_png_carries_its_note(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png", np.zeros((8, 8), dtype=np.uint8), note="synthetic")
    with Image.open(tmp_path / "a.png") as image:
        assert image.info["Description"] == "synthetic"
        assert image.mode == "L"
