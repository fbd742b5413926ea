"""Generated images with what is known of each: its class and its seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from cxrgan.generation.provenance import Origin
from cxrgan.generation.writers.dicom import write_dicoms
from cxrgan.generation.writers.npz import write_npz
from cxrgan.generation.writers.png import encode_sheet, write_pngs

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

Format = Literal["png", "npz", "dicom"]


@dataclass(frozen=True, eq=False, repr=False)
class Samples:
    """Images that a generator made; numpy takes it as the array of images, and a notebook shows a grid."""

    images: "NDArray[np.uint8]"
    """(N, M, M) uint8 in [0, 255]."""
    labels: tuple[str, ...]
    """The class of each image; empty texts where the generator knows no classes."""
    seeds: tuple[int, ...]
    """The seed of each image."""
    origin: Origin | None = None
    """The generator, as every file says; None where it is not known any more."""

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
            return Samples(self.images[index], self.labels[index], self.seeds[index], self.origin)
        return np.asarray(self.images[index])

    def __array__(self, dtype: "DTypeLike | None" = None, copy: bool | None = None) -> "NDArray[Any]":
        return np.array(self.images, dtype=dtype, copy=copy)

    def save(self, out: str | Path, format: Format = "png") -> Path:
        """Write a new folder `out`; UserError where something is there.

        `png` is a PNG an image and a grid, `dicom` a DICOM file an image (extra `dicom`), `npz` one `images.npz`.
        All say that they are synthetic, and what they were made from: `cxrgan verify` proves it.
        """
        write = {"png": write_pngs, "npz": write_npz, "dicom": write_dicoms}[format]
        write(self.images, self.labels, self.seeds, Path(out), self.origin)
        return Path(out)

    def __repr__(self) -> str:
        num, height, width = self.shape
        classes = f", {', '.join(sorted(set(self.labels)))}" if any(self.labels) else ""
        seeds = f", seeds {self.seeds[0]} to {self.seeds[-1]}" if self.seeds else ""
        return f"Samples({num} synthetic images of {height} x {width} pixels{classes}{seeds})"

    def sheet(self) -> bytes:
        """The first images as a grid, as the bytes of a PNG."""
        return encode_sheet(self.images, self.labels, self.seeds, self.origin)

    def _repr_png_(self) -> bytes:
        """For notebooks."""
        return self.sheet()
