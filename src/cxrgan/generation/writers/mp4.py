"""An interpolation as a film (extra `video`)."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cxrgan.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = 24  # images a second


def require_video() -> None:
    """UserError where the extra is not installed."""
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise UserError("--mp4 needs PyAV; in the checkout, run: pip install '.[video]'") from error


def write_film(images: "NDArray[np.uint8]", file: Path, comment: str) -> None:
    """Images (N, M, M) uint8, M even, there and back, as H.264 in an MP4 that loops well; `comment` says what it is."""
    import av

    with av.open(str(file), "w", format="mp4") as film:
        film.metadata["comment"] = comment
        height, width = images.shape[1:]
        stream = film.add_stream("libx264", rate=RATE, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for image in [*images, *images[-2:0:-1]]:
            film.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="gray")))
        film.mux(stream.encode())
