"""A PNG an image, and a grid."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cxrgan.generation.provenance import Origin, png_texts
from cxrgan.generation.writers.place import new_folder, places
from cxrgan.images import NUM_SHOWN, SHEET, encode_png, grid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def write_pngs(
    images: "NDArray[np.uint8]", labels: Sequence[str], seeds: Sequence[int], out: Path, origin: Origin | None = None
) -> None:
    """One PNG an image, named by its seed, in a folder of its class if it has one; `grid.png` with up to 64.

    Each says that it is synthetic, and where `origin` is given what it was made from.
    """
    files = places(labels, seeds, ".png")
    with new_folder(out) as folder:
        for file, image, label, seed in zip(files, images, labels, seeds, strict=True):
            (folder / file).parent.mkdir(exist_ok=True)
            texts = png_texts(origin, "image", [seed], [label])
            (folder / file).write_bytes(encode_png(image, texts=texts))
        (folder / SHEET).write_bytes(encode_sheet(images, labels, seeds, origin))


def encode_sheet(
    images: "NDArray[np.uint8]", labels: Sequence[str], seeds: Sequence[int], origin: Origin | None = None
) -> bytes:
    """The bytes of a PNG with the first images as a grid."""
    texts = png_texts(origin, "grid", seeds[:NUM_SHOWN], labels[:NUM_SHOWN])
    return encode_png(grid(images[:NUM_SHOWN]), texts=texts)
