"""The bytes of an image file -> one grey picture, or the reason why not.

Grey keeps its precision until the one quantisation after the resize: 8-bit files become L, deeper ones F.
"""

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, JpegImagePlugin, UnidentifiedImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_BYTES = 2**28  # of a file
MAX_PIXELS = 2**26  # of a picture, in the file's header; the largest digitised films have about 60 million
MIN_SIDE = 16  # pixels; less shows no chest
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "GIF", "WEBP")  # Pillow's other readers are never tried

# A grey JPEG is decoded at half its size where its shorter side is at least so many times the wanted one.
# Measured on original radiographs, for crop, pad and stretch: from 24 on, no pixel differs by more than one
# grey level from the plain way; at 16 to 24 the edges of white letters differ by 2, at 8 to 10 by 6. Quarters
# and eighths never hold one level, nor does colour, whose brightness depends on how the chroma is scaled.
HALF_SIZE_REDUCTION = 24


class Unusable(Exception):
    """Why an image is set aside, in a few words."""


def read_image(path: Path) -> bytes:
    """The bytes of an image file; Unusable where they cannot be had, or are too many."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            content = file.read(min(size, MAX_BYTES) + 1)  # `read` takes all the memory that it is allowed at once
    except OSError as error:
        raise Unusable(f"cannot be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise Unusable(f"the file has more than {MAX_BYTES:,} bytes")
    return content


def decode(content: bytes, size: int) -> Image.Image:
    """The bytes of a file -> a grey picture of mode L or F (in [0, 255]), to be resized to `size` x `size`.

    Only the first frame of an animation or a stack counts. What is transparent becomes black, as the air
    beside a patient is. 16- and 32-bit grey is scaled from its own minimum and maximum to 0 and 255, since
    such files often hold 10 or 12 bits. EXIF orientation is applied. What cannot be decoded raises Unusable.
    """
    if not content:
        raise Unusable("the file is empty")
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        check_sides(*image.size)
        if isinstance(image, JpegImagePlugin.JpegImageFile) and _half_is_enough(image, size):
            image.draft(None, (image.width // 2, image.height // 2))
        image.load()
        return to_grey(ImageOps.exif_transpose(image))
    except Unusable:
        raise
    except UnidentifiedImageError as error:
        raise Unusable("not an image, or of an unknown format") from error
    except Image.DecompressionBombError as error:
        raise Unusable(f"more than {MAX_PIXELS:,} pixels") from error
    except Exception as error:  # Pillow's readers raise about every type there is on damaged files
        raise Unusable(f"truncated or damaged: {error}") from error


def check_sides(width: int, height: int) -> None:
    """Raise Unusable for a picture too small to show anything, or so large that it may exhaust the memory."""
    if width * height > MAX_PIXELS:
        raise Unusable(f"{width} x {height} pixels, more than {MAX_PIXELS:,}")
    if min(width, height) < MIN_SIDE:
        raise Unusable(f"{width} x {height} pixels, but {MIN_SIDE} a side are needed")


def to_grey(image: Image.Image) -> Image.Image:
    """A picture of any mode -> L, or F in [0, 255] for more than 8 bits; a single grey value is Unusable."""
    if image.mode.startswith(("I", "F")):
        return _stretched(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image)
    if image.mode not in ("1", "L", "RGB"):
        image = image.convert("RGB")
    grey = image.convert("L")
    low, high = grey.getextrema()
    if low == high:
        raise Unusable(f"every pixel has the grey value {low}")
    return grey


def made_grey(array: "NDArray[np.uint8] | NDArray[np.float32]") -> Image.Image:
    """(H, W) or (H, W, 3) uint8 -> L; (H, W) float32 in [0, 255] -> F as it is; Unusable as of `decode`."""
    check_sides(array.shape[1], array.shape[0])
    if array.dtype == np.uint8:
        return to_grey(Image.fromarray(array))
    if array.min() == array.max():
        raise Unusable(f"every pixel has the grey value {array.min():g}")
    return Image.fromarray(array)


def _stretched(image: Image.Image) -> Image.Image:
    """Modes I;16, I and F -> F from 0 (the darkest pixel) to 255 (the lightest)."""
    values = np.asarray(image).astype(np.float64)
    low, high = values.min(), values.max()
    if not np.isfinite(high - low):
        raise Unusable("holds values that are not finite")
    if low == high:
        raise Unusable(f"every pixel has the grey value {low:g}")
    values -= low
    values *= 255 / (high - low)
    return Image.fromarray(values.astype(np.float32))


def _half_is_enough(image: Image.Image, size: int) -> bool:
    """Whether scaled decoding is exact enough; odd sides would move the picture by half a pixel."""
    is_even = image.width % 2 == 0 and image.height % 2 == 0
    return image.mode == "L" and is_even and min(image.size) >= HALF_SIZE_REDUCTION * size
