"""All images in one npz file."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cxrgan.generation.provenance import Origin
from cxrgan.generation.writers.place import new_folder
from cxrgan.images import SYNTHETIC

if TYPE_CHECKING:
    from numpy.typing import NDArray

NPZ = "images.npz"


def write_npz(
    images: "NDArray[np.uint8]", labels: Sequence[str], seeds: Sequence[int], out: Path, origin: Origin | None = None
) -> None:
    """`images.npz` with `images` (N, M, M) uint8, `labels` (N,) text, empty without classes, and `seeds` (N,) int64.

    And the texts `description`, that they are synthetic, and `origin`, its JSON, empty where it is not known.
    """
    content = io.BytesIO()  # on a full disk, a zip file that is half-written hides the reason
    np.savez_compressed(
        content,
        images=images,
        labels=np.array(labels),
        seeds=np.array(seeds),
        description=np.array(SYNTHETIC),
        origin=np.array(origin.text if origin else ""),
    )
    with new_folder(out) as folder:
        (folder / NPZ).write_bytes(content.getvalue())
