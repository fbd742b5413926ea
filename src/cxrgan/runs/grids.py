"""The grids of samples that a run wrote, read back."""

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cxrgan.data.decode import MAX_BYTES, Unusable, check_sides
from cxrgan.errors import UserError
from cxrgan.fields import read_bytes
from cxrgan.runs.folder import RunFolder

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEND = "remove it"


def find_grids(folder: RunFolder) -> dict[int, Path]:
    """Step -> the PNG of its grid, ascending."""
    files = {file.stem.removeprefix("step-"): file for file in folder.samples.glob("step-*.png")}
    return {int(step): files[step] for step in sorted(filter(str.isdecimal, files), key=int)}


def read_grid(file: Path) -> "NDArray[np.uint8]":
    """The grey values of a sheet that cxrgan wrote, (H, W) uint8; UserError where it is none.

    What its header claims is bounded before it is decoded.
    """
    try:
        content = read_bytes(file, MAX_BYTES, mend=MEND)
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
            check_sides(*picture.size)
            return np.asarray(picture.convert("L"))
    except Unusable as reason:
        raise UserError(f"cannot read {file}: {reason}; {MEND}") from reason
    except (OSError, ValueError, SyntaxError) as error:  # a bad PNG is a SyntaxError
        raise UserError(f"cannot read {file}: {error}; {MEND}") from error
