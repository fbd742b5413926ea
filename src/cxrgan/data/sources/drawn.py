"""The phantom as a source: chests that are drawn when they are loaded."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cxrgan.data.sources.record import Record, Source
from cxrgan.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class PhantomImage:
    """One image of the phantom, drawn when it is loaded."""

    seed: int
    index: int
    size: int
    label: str

    def load(self) -> "NDArray[np.uint8]":
        """(size, size) uint8."""
        from cxrgan.data.phantom import phantom

        return phantom(self.seed, self.index, self.size, self.label)


def phantom_source(*, num: int, size: int, seed: int) -> Source:
    """`num` drawn chests, alternating between the classes; each is a patient of its own."""
    from cxrgan.data.phantom import CLASSES

    if num < 1:
        raise UserError(f"num is {num}, but must be at least 1")
    labels = [CLASSES[index % len(CLASSES)] for index in range(num)]
    records = [
        Record(PhantomImage(seed, index, size, label), label, None, None, f"phantom/{seed}/{index:06d}")
        for index, label in enumerate(labels)
    ]
    return Source("phantom", "CC0-1.0", "made by cxrgan", tuple(records))
