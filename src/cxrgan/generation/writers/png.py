"""A PNG an image, and a grid."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cxrgan.errors import UserError
from cxrgan.fields import is_name
from cxrgan.generation.writers.place import new_folder
from cxrgan.images import SHEET, SYNTHETIC, encode_png, grid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def write_pngs(images: "NDArray[np.uint8]", labels: Sequence[str], seeds: Sequence[int], out: Path) -> None:
    """One PNG an image, named by its seed, in a folder of its class if it has one; `grid.png` with up to 64."""
    for label in set(labels) - {""}:
        if not is_name(label):
            raise UserError(f"the class {label!r} cannot name a folder of images; --format npz writes none")
    with new_folder(out) as folder:
        for image, label, seed in zip(images, labels, seeds, strict=True):
            (folder / label).mkdir(exist_ok=True)
            (folder / label / f"seed-{seed:06d}.png").write_bytes(encode_png(image, SYNTHETIC))
        (folder / SHEET).write_bytes(encode_png(grid(images[:64]), SYNTHETIC))
