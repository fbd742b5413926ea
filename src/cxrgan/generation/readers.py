"""A PNG, DICOM or npz file of generated images -> their pixels, and what it says of them. No file is trusted."""

import io
import os
import textwrap
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from cxrgan.errors import UserError
from cxrgan.fields import printable, read_bytes
from cxrgan.generation.provenance import KEYWORD, MAX_CHARACTERS, Origin, is_label, parse_origin, parse_provenance
from cxrgan.generation.writers.dicom import PRIVATE_GROUP, PROVENANCE, require_pydicom, secondary_capture

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

SUFFIXES = (".png", ".dcm", ".npz")
MAX_BYTES = 2**28  # of a file
MAX_PIXELS = 2**25  # of a picture; the grid of 64 images of 512 pixels has half of it
MAX_UNPACKED = 2**30  # bytes of an npz; 4,000 images of 512 pixels
MEND = "give a file that `cxrgan generate` wrote"
KEPT = ("SyntheticData", "PatientName", "PatientID", "Modality", "ConversionType", "ContentQualification")
"""Attributes by which a DICOM file says that it shows no patient: they must stay as they were written."""
SHOWN_AS = (
    *("PhotometricInterpretation", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence", "PresentationLUTShape"),
)
"""Attributes that decide how its pixels are seen."""


@dataclass(frozen=True, eq=False)
class Picture:
    """What a file holds."""

    images: "NDArray[np.uint8]"
    """(N, H, W) uint8: the images, or one picture of several."""
    origin: Origin | None
    """What it says of the generator; None where it says nothing."""
    shows: str
    """As of `Provenance`; `image` also for the images of an npz file."""
    seeds: Sequence[int]
    labels: Sequence[str]
    changed: str = ""
    """What in the file, beside its pixels, is not as cxrgan wrote it."""


def find_files(paths: Sequence[Path]) -> list[Path]:
    """Files as they are, and of folders all within that can be read back; UserError where there are none."""
    if not paths:
        raise UserError(f"there is nothing to read; {MEND}")
    files: list[Path] = []
    for path in paths:
        inside = (
            sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and not file.is_dir())
            if path.is_dir()
            else [path]
        )
        if not inside:
            raise UserError(f"{path} holds no {', '.join(SUFFIXES)} file; {MEND}")
        files += inside
    return files


def read_picture(file: Path) -> Picture:
    """What a file holds; UserError where it cannot be read, or what it says of itself is no provenance."""
    if not os.path.lexists(file):
        raise UserError(f"there is no file {file}; {MEND}")
    readers = {".png": _read_png, ".dcm": _read_dicom, ".npz": _read_npz}
    if file.suffix.lower() not in readers:
        raise UserError(f"cannot read {file}: only {', '.join(SUFFIXES)} files carry what can be proved; {MEND}")
    if file.suffix.lower() == ".dcm":
        require_pydicom()
    try:
        content = read_bytes(file, MAX_BYTES, mend=MEND)
        with warnings.catch_warnings(action="ignore"):  # of large pictures and odd values: the verdict says what counts
            return readers[file.suffix.lower()](content, file)
    except FileNotFoundError:
        raise UserError(f"there is nothing at the end of the link {file}; {MEND}") from None
    except UserError:
        raise
    except UnidentifiedImageError:
        raise UserError(f"cannot read {file}: it is no PNG, whatever its name says; {MEND}") from None
    except Exception as error:  # Pillow, pydicom and numpy raise about every type there is on damaged files
        said = textwrap.shorten(printable(str(error)), 160, placeholder=" ...") or type(error).__name__
        raise UserError(f"cannot read {file}: {said}; {MEND}") from error


def _read_png(content: bytes, file: Path) -> Picture:
    image = Image.open(io.BytesIO(content), formats=["PNG"])
    _check_pixels(*image.size)
    frames, mode = getattr(image, "n_frames", 1), image.mode
    image.load()
    text = image.text.get(KEYWORD)  # type: ignore[attr-defined]
    changed = ""
    if mode != "L":
        changed = f"its pixels are of the kind {mode}, not 8-bit grey: another program saved it"
    elif frames > 1 or "transparency" in image.info:
        changed = "it has further frames or transparency"
    return _picture(np.asarray(image.convert("L")), None if text is None else str(text), file, changed)


def _read_dicom(content: bytes, file: Path) -> Picture:
    from pydicom import dcmread
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    if str(DeflatedExplicitVRLittleEndian).encode() in content[:1000]:  # it would be unpacked whole
        raise UserError(f"cannot read {file}: it is deflated; {MEND}")
    ds = dcmread(io.BytesIO(content))
    _check_pixels(int(ds.Rows), int(ds.Columns), int(ds.get("NumberOfFrames") or 1))
    pixels = ds.pixel_array
    if pixels.dtype != np.uint8 or pixels.ndim != 2:
        raise UserError(f"cannot read {file}: its pixels are {pixels.dtype} of shape {pixels.shape}; {MEND}")
    text = None
    if any(element.value == KEYWORD for element in ds.group_dataset(PRIVATE_GROUP) if element.tag.is_private_creator):
        block = ds.private_block(PRIVATE_GROUP, KEYWORD)
        text = str(block[PROVENANCE].value) if PROVENANCE in block else None
    picture = _picture(pixels, text, file)
    return picture if picture.origin is None else _compared(picture, ds, text or "", file)


def _compared(picture: Picture, ds: "Dataset", text: str, file: Path) -> Picture:
    """The picture with the attributes of `KEPT` and `SHOWN_AS` that are not as they were written."""
    written = secondary_capture(picture.images[0], parse_provenance(text, str(file)))
    names = [name for name in (*KEPT, *SHOWN_AS) if ds.get(name) != written.get(name)]
    changed = f"it has another {', '.join(names)}" if names else ""
    return Picture(picture.images, picture.origin, picture.shows, picture.seeds, picture.labels, changed)


def _read_npz(content: bytes, file: Path) -> Picture:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MAX_UNPACKED:
            raise UserError(f"cannot read {file}: it unpacks to more than {MAX_UNPACKED:,} bytes; {MEND}")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        images: NDArray[Any] = arrays["images"]
        if images.dtype != np.uint8 or images.ndim != 3 or 0 in images.shape:
            raise UserError(f"cannot read {file}: its images are {images.dtype} of shape {images.shape}; {MEND}")
        text = str(arrays["origin"]) if "origin" in arrays else ""
        if not text:
            return Picture(images, None, "image", (), ())
        origin = parse_origin(text, f"what {file} says of itself")
        seeds, labels = arrays["seeds"], arrays["labels"]
    if seeds.shape != images.shape[:1] or seeds.dtype.kind not in "iu":
        raise UserError(f"cannot read {file}: its seeds are no whole number for each image; {MEND}")
    named = [str(label) for label in labels.reshape(-1)]
    if labels.shape != images.shape[:1] or not all(map(is_label, named)):
        raise UserError(f"cannot read {file}: its labels are no class for each image; {MEND}")
    return Picture(images, origin, "image", seeds.tolist(), named)


def _picture(image: "NDArray[np.uint8]", text: str | None, file: Path, changed: str = "") -> Picture:
    if text is None:
        return Picture(image[None], None, "image", (), (), changed)
    found = parse_provenance(text[: MAX_CHARACTERS + 1], f"what {file} says of itself")
    return Picture(image[None], found.origin, found.shows, found.seeds, found.labels, changed)


def _check_pixels(width: int, height: int, frames: int = 1) -> None:
    if not 0 < width * height * frames <= MAX_PIXELS or frames != 1:
        raise ValueError(f"{width} x {height} pixels in {frames} frames, and one of at most {MAX_PIXELS:,} is read")
