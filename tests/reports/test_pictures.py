"""Pictures of a page: the images of a sheet, and nothing between them that is white in the dark."""

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import TINY

from cxrgan.images import grid, save_png
from cxrgan.reports.pictures import Picture, generated


def decoded(picture: Picture) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """(H, W, 2): grey and alpha."""
    content = base64.b64decode(picture.src.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(content)).convert("LA"))


@pytest.mark.parametrize("num", [9, 7])
def test_gutters_and_empty_places_are_clear_and_images_are_not(num: int, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (num, 32, 32), dtype=np.uint8)
    images[0] = 255  # as white as the sheet
    save_png(tmp_path / "sheet.png", grid(images, columns=3))
    shown = decoded(generated(tmp_path / "sheet.png", replace(TINY, num_samples=num), wide=102, alt="", caption=""))
    assert shown.shape == (100, 100, 2)
    for index in range(9):
        top, left = 34 * (index // 3), 34 * (index % 3)
        grey, alpha = np.moveaxis(shown[top : top + 32, left : left + 32], -1, 0)
        assert set(np.unique(alpha)) == ({255} if index < num else {0})
        if index < num:
            assert np.abs(grey.astype(int) - images[index]).max() <= 1
    assert not shown[32:34, :, 1].any()
    assert not shown[:, 32:34, 1].any()


def test_images_that_leave_a_grey_value_free_are_shown_as_they_are(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (1, 32, 32), dtype=np.uint8)
    images[images == 77] = 78
    save_png(tmp_path / "sheet.png", grid(images))
    shown = decoded(generated(tmp_path / "sheet.png", replace(TINY, num_samples=1), wide=40, alt="", caption=""))
    assert np.array_equal(shown[..., 0], images[0])


def test_as_many_images_are_shown_as_the_width_holds_and_one_at_least(tmp_path: Path) -> None:
    save_png(tmp_path / "sheet.png", grid(np.zeros((9, 32, 32), dtype=np.uint8)))
    config = replace(TINY, num_samples=9)
    shown = [generated(tmp_path / "sheet.png", config, wide=wide, alt="", caption="") for wide in (10, 65, 66, 500)]
    assert [picture.width for picture in shown] == [32, 32, 66, 100]
