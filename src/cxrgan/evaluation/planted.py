"""Copies of training images as a generator might make them, to plant among images and see which an audit finds."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Images = NDArray[np.uint8]
    Floats = NDArray[np.float64]
    Kind = Callable[[Floats, Floats, np.random.Generator], Floats]

SHIFT = 3 / 64  # of the side, at most, each way
CONTRAST, BRIGHTNESS = 1.2, 10.0
NOISE = 8.0  # grey levels, standard deviation
BLEND = 0.7  # of the training image
LUNG = (5 / 8, 3 / 8)  # of the side, height and width
DEVICE = 3 / 8
DETAIL = 3 / 16


def plant(kind: "Kind", images: "Images", train: "Images", random: np.random.Generator) -> "Images":
    """One copy of each training image, made with the image of the same place: all (N, M, M) uint8."""
    pairs = zip(train.astype(float), images.astype(float), strict=True)
    return np.stack([kind(copied, other, random).round().clip(0, 255).astype(np.uint8) for copied, other in pairs])


def _exact(copied: "Floats", other: "Floats", random: np.random.Generator) -> "Floats":
    return copied


def _shifted(copied: "Floats", other: "Floats", random: np.random.Generator) -> "Floats":
    """By up to `SHIFT` each way, but not by nothing; the border is drawn out."""
    most = max(1, round(SHIFT * len(copied)))
    down, right = 0, 0
    while down == right == 0:
        down, right = random.integers(-most, most + 1, 2)
    padded = np.pad(copied, most, mode="edge")
    return padded[most + down :, most + right :][: len(copied), : len(copied)]


def _mirrored(copied: "Floats", other: "Floats", random: np.random.Generator) -> "Floats":
    return copied[:, ::-1]


def _brightened(copied: "Floats", other: "Floats", random: np.random.Generator) -> "Floats":
    return CONTRAST * copied + BRIGHTNESS


def _noised(copied: "Floats", other: "Floats", random: np.random.Generator) -> "Floats":
    return copied + random.normal(0, NOISE, copied.shape)


def _blended(copied: "Floats", other: "Floats", random: np.random.Generator) -> "Floats":
    return BLEND * copied + (1 - BLEND) * other


def _pasted(height: float, width: float) -> "Kind":
    def paste(copied: "Floats", other: "Floats", random: np.random.Generator) -> "Floats":
        size = len(copied)
        tall, wide = round(height * size), round(width * size)
        top, left = random.integers(0, size - tall + 1), random.integers(0, size - wide + 1)
        made = other.copy()
        made[top : top + tall, left : left + wide] = copied[top : top + tall, left : left + wide]
        return made

    return paste


WHOLE_KINDS: Mapping[str, "Kind"] = {
    "exact": _exact,
    "shifted": _shifted,
    "mirrored": _mirrored,
    "brightened": _brightened,
    "noised": _noised,
    "blended": _blended,
}
PART_KINDS: Mapping[str, "Kind"] = {
    "a lung field": _pasted(*LUNG),
    "a device": _pasted(DEVICE, DEVICE),
    "a detail": _pasted(DETAIL, DETAIL),
}
KINDS = {**WHOLE_KINDS, **PART_KINDS}
