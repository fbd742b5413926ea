"""All images in one npz file."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cxrgan.generation.writers.place import new_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray


def write_npz(images: "NDArray[np.uint8]", labels: Sequence[str], seeds: Sequence[int], out: Path) -> None:
    """`images.npz` with `images` (N, M, M) uint8, `labels` (N,) text, empty without classes, and `seeds` (N,) int64."""
    content = io.BytesIO()  # on a full disk, a zip file that is half-written hides the reason
    np.savez_compressed(content, images=images, labels=np.array(labels), seeds=np.array(seeds))
    with new_folder(out) as folder:
        (folder / "images.npz").write_bytes(content.getvalue())
