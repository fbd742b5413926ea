"""images.npy of a dataset folder: written row by row and read as a memory map, so that it is never whole in memory."""

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from cxrgan.errors import UserError
from cxrgan.fields import open_regular

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "images.npy"
HEADER_SHOWN = 120  # characters of a wrong one


def write_images(folder: Path, images: "Iterable[NDArray[np.uint8]]", size: int) -> str:
    """Write images (size, size) uint8 as they come, as `np.save` would all of them; the SHA-256 of the file."""
    num = 0
    with (folder / NAME).open("wb") as file:
        _write_header(file, num, size)
        for image in images:
            file.write(np.ascontiguousarray(image).data)
            num += 1
        file.seek(0)
        _write_header(file, num, size)  # of the same length: numpy leaves room for any number of rows
    with (folder / NAME).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def map_images(folder: Path, num: int, size: int, sha256: str, *, mend: str) -> "NDArray[np.uint8]":
    """(num, size, size) uint8, read only: a row is read from the disk when it is looked at.

    UserError unless the file is the one that is expected: by header and length, then by SHA-256.
    """
    file, shape = folder / NAME, (num, size, size)
    wanted = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"  # as np.save writes it
    num_bytes = num * size * size
    try:
        with open_regular(file, sys.maxsize, mend=mend) as stream:
            start = stream.read(10)  # magic, version 1.0, length of the header
            header = stream.read(int.from_bytes(start[8:], "little")).decode("latin-1").strip()
            if not start.startswith(b"\x93NUMPY\x01\x00") or header != wanted:
                raise UserError(
                    f"{file} begins with {header[:HEADER_SHOWN]!r}, but its manifest needs {wanted}; {mend}"
                )
            offset, length = stream.tell(), stream.seek(0, 2)
            if length - offset != num_bytes:
                raise UserError(f"{file} has {length - offset:,} bytes of images, but must have {num_bytes:,}; {mend}")
            stream.seek(0)
            if hashlib.file_digest(stream, "sha256").hexdigest() != sha256:
                raise UserError(f"{file} is not the file its manifest describes; {mend}")
            if not num:  # nothing cannot be mapped
                return np.empty(shape, np.uint8)
            return np.asarray(np.memmap(stream, np.uint8, "r", offset, shape))
    except FileNotFoundError:
        raise UserError(f"the dataset folder {folder} has no {NAME}; {mend}") from None


def _write_header(file: BinaryIO, num: int, size: int) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": (num, size, size)}
    np.lib.format.write_array_header_1_0(file, header)
