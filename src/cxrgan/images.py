"""Grey values between files, networks and the eye: the two conversions, the one resize, grids and PNG."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cxrgan.errors import UserError
from cxrgan.fields import shown
from cxrgan.files import write_bytes

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

Fit = Literal["crop", "pad", "stretch"]

SHEET = "grid.png"  # many images in one picture; beside single images it is none of them
NUM_SHOWN = 64  # images of it, at most
SYNTHETIC = "Synthetic chest X-ray, made by cxrgan. Not an image of a patient. For research only, no clinical use."
"""The description in every PNG of generated images."""

IMAGE_SIZES = range(32, 513, 2)
"""Pixels a side of what cxrgan makes: M = (L_w + 3) * 2^k with k >= 1 (`models.config`) reaches every even size."""

GAP = 2  # white pixels about each image of a grid


def check_image_size(size: int) -> None:
    """Raise UserError unless a network for `size` x `size` pixels exists."""
    if size not in IMAGE_SIZES:
        raise UserError(f"image size is {shown(size)}, but must be an even number from 32 to 512, such as 64 or 128")


def to_float(images: "torch.Tensor") -> "torch.Tensor":
    """uint8 in [0, 255] -> float32 in [-1, 1], any shape."""
    return images.float() / 127.5 - 1


def to_uint8(images: "torch.Tensor") -> "torch.Tensor":
    """float in [-1, 1] -> uint8 in [0, 255], any shape; values outside are clipped.

    The inverse of `to_float`: all 256 grey values survive the round trip.
    """
    import torch

    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def resize(image: Image.Image, size: int, fit: Fit) -> Image.Image:
    """Bring a grey picture (mode L or F) to (size, size) pixels with an antialiased (Lanczos) filter.

    `crop` keeps the aspect ratio and cuts the longer side about its centre, `pad` keeps it and fills with
    black, `stretch` changes it.
    """
    width, height = image.size
    if fit == "stretch":
        return image.resize((size, size), Image.Resampling.LANCZOS)
    if fit == "crop":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
        return image.resize((size, size), Image.Resampling.LANCZOS, box=box)
    scale = size / max(width, height)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    canvas = Image.new(image.mode, (size, size), 0)
    offset = ((size - inner[0]) // 2, (size - inner[1]) // 2)
    canvas.paste(image.resize(inner, Image.Resampling.LANCZOS), offset)
    return canvas


def grid(images: "NDArray[np.uint8]", columns: int | None = None, gap: int = GAP) -> "NDArray[np.uint8]":
    """Lay (N, H, W) uint8 images row by row on a white sheet, about square unless `columns` is given."""
    num, height, width = images.shape
    columns = columns or max(1, round(num**0.5))
    rows = -(-num // columns)
    shape = (rows * (height + gap) + gap, columns * (width + gap) + gap)
    sheet = np.full(shape, 255, dtype=np.uint8)
    for index, image in enumerate(images):
        top = gap + index // columns * (height + gap)
        left = gap + index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def tiles(sheet: "NDArray[np.uint8]", size: int) -> "NDArray[np.uint8]":
    """The inverse of `grid` for images of `size` pixels a side: (H, W) uint8 -> (N, size, size), the white rest too."""
    rows, columns = (side // (size + GAP) for side in sheet.shape)
    inner = sheet[GAP : GAP + rows * (size + GAP), GAP : GAP + columns * (size + GAP)]
    inner = np.pad(inner, [(0, rows * (size + GAP) - inner.shape[0]), (0, columns * (size + GAP) - inner.shape[1])])
    parts = inner.reshape(rows, size + GAP, columns, size + GAP)[:, :size, :, :size]
    return np.ascontiguousarray(parts.transpose(0, 2, 1, 3).reshape(rows * columns, size, size))


def save_png(path: Path, image: "NDArray[np.uint8]", note: str = "") -> None:
    """Write an (H, W) grey or (H, W, 3) colour uint8 array as PNG, atomically; `note` becomes its description."""
    write_bytes(path, encode_png(image, note))


def encode_png(
    image: "NDArray[np.uint8]",
    note: str = "",
    transparent: int | None = None,
    texts: Mapping[str, str] | None = None,
    *,
    compressed: bool = True,
) -> bytes:
    """The bytes that `save_png` writes, with further `texts` by keyword.

    The grey value `transparent` shows what is behind the picture. Without compression, every image of a size gives a
    file of one size.
    """
    metadata = PngInfo()
    for keyword, text in {**({"Description": note} if note else {}), **(texts or {})}.items():
        metadata.add_text(keyword, text)
    buffer = io.BytesIO()
    level = -1 if compressed else 0  # -1: as zlib chooses
    Image.fromarray(image).save(buffer, format="PNG", pnginfo=metadata, transparency=transparent, compress_level=level)
    return buffer.getvalue()
