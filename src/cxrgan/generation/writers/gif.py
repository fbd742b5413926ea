"""An interpolation as a strip and a GIF, and where asked for as a film."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from cxrgan.generation.provenance import Provenance
from cxrgan.generation.writers.mp4 import write_film
from cxrgan.generation.writers.place import new_folder
from cxrgan.images import SYNTHETIC, encode_png, grid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def write_interpolation(
    images: "NDArray[np.uint8]",
    seeds: Sequence[int],
    out: Path,
    provenance: Provenance | None = None,
    *,
    mp4: bool = False,
) -> None:
    """A strip `interpolation-A-B.png`, a GIF of the same name that goes there and back, and if `mp4` a film of it.

    All say that they are synthetic, and where `provenance` is given what they were made from.
    """
    name = f"interpolation-{seeds[0]}-{seeds[1]}"
    strip = grid(images, columns=len(images))
    texts = provenance.png_texts if provenance else {"Description": SYNTHETIC}
    comment = provenance.text if provenance else SYNTHETIC
    first, *others = [Image.fromarray(image) for image in [*images, *images[-2:0:-1]]]
    with new_folder(out) as folder:
        (folder / f"{name}.png").write_bytes(encode_png(strip, texts=texts))
        first.save(
            folder / f"{name}.gif",
            save_all=True,
            append_images=others,
            duration=120,
            loop=0,
            comment=comment.encode(),
        )
        if mp4:
            write_film(images, folder / f"{name}.mp4", comment)
