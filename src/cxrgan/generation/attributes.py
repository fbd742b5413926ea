"""What a formula can measure on a chest X-ray: exposure, contrast, the heart's size, the chest's width and tilt.

(N, M, M) uint8 -> (N,) float64 each. Whether these formulas see what a reader sees: docs/explore.md.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Images = NDArray[np.uint8]
    Floats = NDArray[np.float64]

EXPLAINED = {
    "exposure": "mean grey value",
    "contrast": "standard deviation of the grey values",
    "heart size": "width of the heart's shadow as a share of the chest's",
    "chest width": "width of the chest between the ribs as a share of the image's",
    "tilt": "how the middle between the ribs leans, in degrees; above zero the head is on the right of the image",
}
"""Each attribute, and what it is in an image."""

SIDE = 64  # about as many pixels a side as shapes are measured at: larger images are averaged down, which is quicker
BAND = (0.35, 0.85)  # rows that are looked at, from the top: below the clavicles, and as low as lungs reach
LUNG = (0.2, 0.22)  # where a lung is expected: this far beside the spine, and how far from there it still can be
CLEAR = 0.5  # a row counts where its lungs are at least this deep, relative to the image's deepest


def attributes(images: "Images") -> "dict[str, Floats]":
    """Every attribute of `EXPLAINED`: name -> (N,).

    The heart's width is the upper quartile over the rows and not the largest one, as the cardiothoracic ratio has it:
    on the last rows above the diaphragm its dome widens the shadow.
    """
    grey = images.reshape(len(images), -1)
    found = borders(_reduced(images))
    chest = _quantile(found.chest[1] - found.chest[0], found.clear, 0.9)
    heart = _quantile(found.heart[1] - found.heart[0], found.clear, 0.75)
    return {
        "exposure": grey.mean(1, dtype=np.float64),
        "contrast": grey.std(1, dtype=np.float64),
        "heart size": heart / np.maximum(chest, 1e-3),
        "chest width": chest,
        "tilt": np.degrees(np.arctan(-_slope(found.rows, (found.chest[0] + found.chest[1]) / 2, found.clear))),
    }


@dataclass(frozen=True, eq=False)
class Borders:
    """What R horizontal lines across N chests meet, from left to right in the image; lengths in image widths."""

    rows: "Floats"
    """(R,) how far down they are."""
    chest: "tuple[Floats, Floats]"
    """(N, R) each: the lungs' outer borders, at the ribs."""
    heart: "tuple[Floats, Floats]"
    """(N, R) each: the lungs' inner borders, at the heart and the great vessels."""
    clear: "NDArray[np.bool_]"
    """(N, R) whether both lungs are dark enough there for borders to be trusted."""


def borders(images: "NDArray[np.uint8] | Floats") -> Borders:
    """Find both lungs on every row: the two dark basins beside the spine.

    Along a row, smoothed down the image over the ribs, the grey values are heights, and a lung is where water would
    stand deepest. Air beside the body holds none, since it has no bank on its outer side. A border lies where a bank
    rises half way from the lung's darkest point: outside to the ribs, inside to the heart's grey, which is the median
    about the spine, as the spine itself may be much brighter.
    """
    num, side, _ = images.shape
    smooth = _averaged(_averaged(images.astype(np.float64), side // 8 | 1, axis=1), side // 32 | 1, axis=2)
    rows = np.arange(round(BAND[0] * side), round(BAND[1] * side))
    third = slice(side // 3, side - side // 3)
    columns = _averaged(smooth[:, side // 4 : 3 * side // 4].mean(1), side // 8 | 1, axis=1)
    spine = (side // 3 + columns[:, third].argmax(1)).repeat(len(rows))
    profiles = smooth[:, rows].reshape(-1, side)
    about = (spine[:, None] + np.arange(-(side // 8), side // 8 + 1)).clip(0, side - 1)
    heart = np.median(np.take_along_axis(profiles, about, 1), 1)
    left = _lung(profiles, spine, heart)
    right = _lung(profiles[:, ::-1], side - 1 - spine, heart)
    depth = np.minimum(left[2], right[2]).reshape(num, -1)

    def lengths(x: "Floats") -> "Floats":
        shares: Floats = ((x + 0.5) / side).reshape(num, -1)
        return shares

    return Borders(
        rows=(rows + 0.5) / side,
        chest=(lengths(left[0]), 1 - lengths(right[0])),
        heart=(lengths(left[1]), 1 - lengths(right[1])),
        clear=depth >= CLEAR * depth.max(1, keepdims=True),
    )


def _lung(profiles: "Floats", spine: "NDArray[np.int64]", heart: "Floats") -> "tuple[Floats, Floats, Floats]":
    """The lung left of the spine (K,) on profiles (K, W): its outer and inner border, and its depth, (K,) each."""
    x, each = np.arange(profiles.shape[1]), np.arange(len(profiles))
    beside = x <= spine[:, None]
    heights = np.where(beside, profiles, -np.inf)
    outer = np.maximum.accumulate(heights, 1)
    inner = np.minimum(np.maximum.accumulate(heights[:, ::-1], 1)[:, ::-1], heart[:, None])
    depth = np.where(beside, np.minimum(outer, inner) - profiles, 0)
    away = (spine[:, None] - x) / profiles.shape[1]
    expected = np.maximum(1 - ((away - LUNG[0]) / LUNG[1]) ** 2, 0)  # dark gaps between arm and body are no lungs
    darkest = (depth * expected).argmax(1)
    low = profiles[each, darkest]
    mirrored = profiles.shape[1] - 1
    ribs = mirrored - _rise(profiles[:, ::-1], mirrored - darkest, (low + outer[each, darkest]) / 2)
    return ribs, _rise(profiles, darkest, (low + heart) / 2), depth[each, darkest]


def _rise(profiles: "Floats", start: "NDArray[np.int64]", level: "Floats") -> "Floats":
    """Where each profile (K, W) first reaches its level right of its start, between pixels; W - 1 where it does not."""
    width, each = profiles.shape[1], np.arange(len(profiles))
    reached = (profiles >= level[:, None]) & (np.arange(width) > start[:, None])
    at = np.where(reached.any(1), reached.argmax(1), width - 1)
    before, after = profiles[each, np.maximum(at - 1, 0)], profiles[each, at]
    found: Floats = at - ((after - level) / np.maximum(after - before, 1e-6)).clip(0, 1)
    return found


def _reduced(images: "Images") -> "NDArray[np.uint8] | Floats":
    """Averaged over squares of a whole number of pixels, to `SIDE` pixels a side or somewhat more."""
    num, side, _ = images.shape
    factor = next(k for k in range(max(1, side // SIDE), 0, -1) if side % k == 0)
    if factor == 1:
        return images
    reduced: Floats = images.reshape(num, side // factor, factor, side // factor, factor).mean((2, 4))
    return reduced


def _averaged(x: "Floats", width: int, axis: int) -> "Floats":
    """The moving average over an odd width; the edges are repeated beyond the array."""
    pad = [(width // 2, width // 2) if each == axis else (0, 0) for each in range(x.ndim)]
    mean: Floats = sliding_window_view(np.pad(x, pad, mode="edge"), width, axis).mean(-1)
    return mean


def _quantile(values: "Floats", clear: "NDArray[np.bool_]", q: float) -> "Floats":
    """Of the clear values of each row (N, R), without interpolation: (N,); 0 where none is clear."""
    ordered = np.sort(np.where(clear, values, np.where(clear.any(1, keepdims=True), np.inf, 0)), 1)
    place = np.floor(q * (clear.sum(1) - 1) + 0.5).astype(np.int64)
    found: Floats = ordered[np.arange(len(values)), place]
    return found


def _slope(x: "Floats", y: "Floats", clear: "NDArray[np.bool_]") -> "Floats":
    """The least-squares slope of y (N, R) over x (R,) at the clear places: (N,); 0 where there are fewer than two."""
    num = np.maximum(clear.sum(1, keepdims=True), 1)
    away = np.where(clear, x - np.where(clear, x, 0).sum(1, keepdims=True) / num, 0)
    spread: Floats = (away**2).sum(1)
    slope: Floats = (away * y).sum(1) / np.maximum(spread, math.ulp(1.0))
    return slope
