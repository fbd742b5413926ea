"""What a source says about its images: where each one is, and what is known about it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CC_BY = "CC BY 4.0"
KERMANY = (
    "Kermany, Zhang, Goldbaum: Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images for "
    "Classification, Mendeley Data, v2, doi 10.17632/rscbjbr9sj"
)
MEDMNIST = f"Yang et al.: MedMNIST v2, Scientific Data, 2023, doi 10.1038/s41597-022-01721-8; made from {KERMANY}"


class MadeImage(Protocol):
    """An image that is not a file; it costs nothing until it is loaded."""

    def load(self) -> "NDArray[np.uint8] | NDArray[np.float32]":
        """(H, W) or (H, W, 3) uint8, or (H, W) float32 in [0, 255]; `decode.Unusable` where there is none."""
        ...


@dataclass(frozen=True, eq=False)
class ArrayImage:
    """One image of a larger array."""

    array: "NDArray[np.uint8]"

    def load(self) -> "NDArray[np.uint8]":
        """(H, W) or (H, W, 3) uint8."""
        return self.array


@dataclass(frozen=True)
class Record:
    """One image of a source, not yet decoded."""

    image: Path | MadeImage
    """A file to decode, or something that makes the pixels."""
    label: str | None
    """The class; None where the source has none."""
    patient: str | None
    """Whose image it is; None if unknown, and then the image counts as a patient of its own."""
    split: str | None
    """train, val or test; None for every record of a source without splits."""
    origin: str
    """Its path in the source, the same on every machine."""


@dataclass(frozen=True)
class Rejected:
    """Something in the source that cannot be used, and why."""

    origin: str
    reason: str


@dataclass(frozen=True)
class Source:
    """All that a source offers."""

    name: str
    license: str | None
    citation: str | None
    records: tuple[Record, ...]
    rejected: tuple[Rejected, ...] = ()
    is_private: bool = False
    """Whether names of patients and files may identify people, as those of DICOM do: they are never written down."""
    num_synthetic: int = 0
    """How many files say that they are."""
