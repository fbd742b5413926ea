"""Generated images with what is known of each: its class and its seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from cxrgan.generation.writers.npz import write_npz
from cxrgan.generation.writers.png import write_pngs
from cxrgan.images import SYNTHETIC, encode_png, grid

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

NUM_SHOWN = 64  # images of a grid


@dataclass(frozen=True, eq=False, repr=False)
class Samples:
    """Images that a generator made; numpy takes it as the array of images, and a notebook shows a grid."""

    images: "NDArray[np.uint8]"
    """(N, M, M) uint8 in [0, 255]."""
    labels: tuple[str, ...]
    """The class of each image; empty texts where the generator knows no classes."""
    seeds: tuple[int, ...]
    """The seed of each image."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, M, M)."""
        return self.images.shape

    @property
    def dtype(self) -> "np.dtype[np.uint8]":
        """uint8."""
        return self.images.dtype

    def __iter__(self) -> "Iterator[NDArray[np.uint8]]":
        return iter(self.images)

    def __len__(self) -> int:
        return len(self.images)

    @overload
    def __getitem__(self, index: int) -> "NDArray[np.uint8]": ...
    @overload
    def __getitem__(self, index: slice) -> "Samples": ...
    def __getitem__(self, index: int | slice) -> "NDArray[np.uint8] | Samples":
        """One image (M, M), or some of them with their classes and seeds."""
        if isinstance(index, slice):
            return Samples(self.images[index], self.labels[index], self.seeds[index])
        return np.asarray(self.images[index])

    def __array__(self, dtype: "DTypeLike | None" = None, copy: bool | None = None) -> "NDArray[Any]":
        return np.array(self.images, dtype=dtype, copy=copy)

    def save(self, out: str | Path, format: Literal["png", "npz"] = "png") -> Path:
        """Write a new folder `out`: a PNG an image and a grid, or `images.npz`; UserError where something is there."""
        write = write_pngs if format == "png" else write_npz
        write(self.images, self.labels, self.seeds, Path(out))
        return Path(out)

    def __repr__(self) -> str:
        num, height, width = self.shape
        classes = f", {', '.join(sorted(set(self.labels)))}" if any(self.labels) else ""
        seeds = f", seeds {self.seeds[0]} to {self.seeds[-1]}" if self.seeds else ""
        return f"Samples({num} synthetic images of {height} x {width} pixels{classes}{seeds})"

    def _repr_png_(self) -> bytes:
        """The first images as a grid, for notebooks."""
        return encode_png(grid(self.images[:NUM_SHOWN]), SYNTHETIC)
