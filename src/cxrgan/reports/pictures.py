"""Sheets of images that cxrgan wrote -> pictures for a page, whose gutters show the page's own colour."""

import base64
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cxrgan.errors import UserError
from cxrgan.images import GAP, SYNTHETIC, encode_png
from cxrgan.recipes.config import TrainConfig
from cxrgan.runs.grids import read_grid

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Picture:
    """An image of a page."""

    src: str
    """A data: URL."""
    width: int
    height: int
    alt: str
    caption: str


def generated(file: Path, config: TrainConfig, *, wide: int, alt: str, caption: str) -> Picture:
    """The first images of a sheet of samples, as many each way as `wide` pixels hold, one at least."""
    with reading(file):
        return _picture(read_grid(file), config, wide, alt, caption, SYNTHETIC)


def real(file: Path, config: TrainConfig, *, wide: int, alt: str, caption: str) -> Picture:
    """The same of the left half of a sheet `real-and-fake-*.png`, which holds real images."""
    with reading(file):
        both = read_grid(file)
        half = both[:, : (both.shape[1] - config.model.image_size // 4) // 2]
        return _picture(half, config, wide, alt, caption, "Real, not synthetic.")


@contextlib.contextmanager
def reading(file: Path) -> Iterator[None]:
    """What is not as cxrgan writes it becomes a UserError that names the file."""
    try:
        yield
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, SyntaxError) as error:
        raise UserError(f"cannot read {file}: {error!r}; mend it, or move it away") from error


def _picture(sheet: "NDArray[np.uint8]", config: TrainConfig, wide: int, alt: str, caption: str, note: str) -> Picture:
    """The first images of a sheet laid by `images.grid`, without the gutter around it."""
    size = config.model.image_size
    side = max(1, (wide + GAP) // (size + GAP)) * (size + GAP) - GAP
    inner = sheet[GAP:-GAP, GAP:-GAP]
    is_image = _is_image((inner.shape[0], inner.shape[1]), size, config.num_samples)[:side, :side]
    shown, transparent = _clear(inner[:side, :side], ~is_image)
    content = base64.b64encode(encode_png(shown, note, transparent)).decode()
    height, width = shown.shape
    return Picture(f"data:image/png;base64,{content}", width, height, alt, caption)


def _is_image(shape: tuple[int, int], size: int, num: int) -> "NDArray[np.bool_]":
    """Which pixels of a sheet are those of its `num` images, and not between or behind them."""
    rows, columns = (np.arange(length) for length in shape)
    across = -(-shape[1] // (size + GAP))
    index = rows[:, None] // (size + GAP) * across + columns // (size + GAP)
    return np.outer(rows % (size + GAP) < size, columns % (size + GAP) < size) & (index < num)


def _clear(sheet: "NDArray[np.uint8]", where: "NDArray[np.bool_]") -> "tuple[NDArray[np.uint8], int]":
    """The sheet with one grey value at `where` and nowhere else: the rarest one, its pixels being a value beside it.

    A channel of transparency would make the file a fifth larger, and twice as slow to write.
    """
    rarest = int(np.bincount(sheet[~where], minlength=256).argmin())
    beside = np.where(sheet == rarest, rarest - 1 if rarest else 1, sheet)
    return np.where(where, rarest, beside).astype(np.uint8), rarest
