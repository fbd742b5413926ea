"""How a picture differs from the same one made again, in numbers, and what that may mean. Arrays in, words out."""

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUNDING_LEVELS, ROUNDING_SHARE = 1, 0.001
"""Grey levels, and the share of the pixels, by which two makings of an image may differ, since processors round float32
differently. Measured for cxr-64 and cxr-128 with other threads, batches, layouts and instruction sets, and against
float64: 1 grey level, and in no image more than 1 pixel of its 4096 or 16384."""
ALIKE = 0.975
"""Correlation with the picture that one was made from, as a JPEG of quality 20 has; no two of 256 seeds reach it."""


def difference(found: "NDArray[np.uint8]", made: "NDArray[np.uint8]") -> str:
    """How a picture (H, W) differs from the one that was made again, and what that may mean; empty up to rounding."""
    if found.shape != made.shape:
        return _other_size(found, made)
    levels = np.abs(found.astype(int) - made)
    num, most = int((levels > 0).sum()), int(levels.max())
    if most <= ROUNDING_LEVELS and num <= max(1, ROUNDING_SHARE * made.size):
        return ""
    said = f"{num} of {made.size} pixels differ, by up to {most} grey level{'s' * (most > 1)}: "
    rows, columns = np.flatnonzero(levels.any(1)), np.flatnonzero(levels.any(0))
    box = f"rows {rows[0]} to {rows[-1]}, columns {columns[0]} to {columns[-1]}"
    if (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1) <= made.size / 4:
        return f"{said}all in {box}, so it was edited there"
    if most <= ROUNDING_LEVELS:
        return f"{said}more than rounding; noise was added, or it was made in less precision or truncated otherwise"
    if _correlation(found, made) >= ALIKE:
        return f"{said}the same picture, recompressed, filtered, or made in less precision or truncated otherwise"
    for view, words in ((found[:, ::-1], "mirrored"), (found[::-1, ::-1], "upside down"), (255 - found, "inverted")):
        if _correlation(view, made) >= ALIKE:
            return f"{said}the same picture, {words}"
    return f"{said}another image, so its seed, class or truncation is not what it says"


def _other_size(found: "NDArray[np.uint8]", made: "NDArray[np.uint8]") -> str:
    (height, width), (rows, columns) = found.shape, made.shape
    said = f"it has {height} x {width} pixels, not {rows} x {columns}: "
    if height <= rows and width <= columns:
        first, last = made[: rows - height + 1, : columns - width + 1], made[height - 1 :, width - 1 :]
        for top, left in np.argwhere((first == found[0, 0]) & (last == found[-1, -1])):
            if np.array_equal(made[top : top + height, left : left + width], found):
                return f"{said}cropped to rows {top} to {top + height - 1}, columns {left} to {left + width - 1}"
    resized = np.asarray(Image.fromarray(found).resize((columns, rows), Image.Resampling.LANCZOS))
    return said + (
        "resized" if _correlation(resized, made) >= ALIKE else "resized, cropped and resized, or another image"
    )


def _correlation(a: "NDArray[np.uint8]", b: "NDArray[np.uint8]") -> float:
    """Of their grey values; 0 where one is all of one grey."""
    x, y = (image.ravel() - image.mean() for image in (a, b))
    norms = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / norms if norms else 0.0
