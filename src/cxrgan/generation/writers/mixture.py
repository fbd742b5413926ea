"""A sheet of mixed styles."""

from pathlib import Path
from typing import TYPE_CHECKING

from cxrgan.generation.provenance import Provenance
from cxrgan.generation.writers.place import new_folder
from cxrgan.images import encode_png, grid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def write_mixture(images: "NDArray[np.uint8]", provenance: Provenance, out: Path) -> None:
    """`mix-A-B-C.png` of (N * N, M, M) images, row by row, for the N seeds of `provenance`."""
    seeds = provenance.seeds
    name = f"mix-{'-'.join(map(str, seeds))}.png"
    with new_folder(out) as folder:
        (folder / name).write_bytes(encode_png(grid(images, columns=len(seeds)), texts=provenance.png_texts))
