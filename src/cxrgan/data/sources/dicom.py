"""DICOM files -> grey pictures as they are meant to be seen: windowing and all else of DICOM happens here.

Nothing that a header says of a person leaves here, except through `Header`, which `folder` and `pseudonyms` read.
"""

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from cxrgan.data.decode import MAX_BYTES, Unusable, check_sides
from cxrgan.data.sources import codecs

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

SUFFIXES = (".dcm", ".dicom")
MAGIC = b"DICM"  # behind a preamble of 128 bytes
INSTALL = "in the checkout, run: pip install '.[dicom]'"

RADIOGRAPHS = {
    "1.2.840.10008.5.1.4.1.1.1": "Computed Radiography",
    "1.2.840.10008.5.1.4.1.1.1.1": "Digital X-Ray, for presentation",
    "1.2.840.10008.5.1.4.1.1.7": "Secondary Capture",
    "1.2.840.10008.5.1.4.1.1.7.1": "Multi-frame Single Bit Secondary Capture",
    "1.2.840.10008.5.1.4.1.1.7.2": "Multi-frame Grayscale Byte Secondary Capture",
    "1.2.840.10008.5.1.4.1.1.7.3": "Multi-frame Grayscale Word Secondary Capture",
    "1.2.840.10008.5.1.4.1.1.7.4": "Multi-frame True Color Secondary Capture",
}
FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"
MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
DEFLATED = "1.2.840.10008.1.2.1.99"
SIZES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # the markers SOF0 to SOF15 of JPEG, and SOF55 of JPEG-LS
GREY = ("MONOCHROME1", "MONOCHROME2")
SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio")
SQUARE = 0.01  # how far from 1 the sides of a pixel may be
MOST_STRETCHED = 4.0  # sides of a pixel; more is a mistake in the header

IDENTIFIERS = ("PatientID", "PatientName", "AccessionNumber", "StudyID", "OtherPatientIDs")
UIDS = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
TAGS = [
    *("SOPClassUID", "IssuerOfPatientID", "BurnedInAnnotation", "SyntheticData", *IDENTIFIERS, *UIDS, *SPACINGS),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
    *(
        f"{colour}PaletteColorLookupTable{part}"
        for colour in ("Red", "Green", "Blue")
        for part in ("Descriptor", "Data")
    ),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")),
]


@dataclass(frozen=True)
class Header:
    """Whose image a file is. Its values identify people: they are compared, and never written."""

    patient: str | None
    """PatientID, behind its issuer where it has one; None where it is empty."""
    words: frozenset[str]
    """What the name and the numbers of the patient and the study consist of, in lower case."""
    values: frozenset[str]
    """The same whole, and the UIDs."""
    is_synthetic: bool
    """Whether Synthetic Data (0008,001C) is YES: nobody's image."""

    def is_named_by(self, folder: str) -> bool:
        """Whether the name of a folder repeats a name or a number of the patient."""
        return folder.strip().casefold() in self.values or bool(_words(folder) & self.words)


@dataclass(frozen=True)
class DicomImage:
    """The picture of a DICOM file, read when it is loaded."""

    path: Path

    def load(self) -> "NDArray[np.uint8] | NDArray[np.float32]":
        """(H, W) or (H, W, 3) uint8, or (H, W) float32 in [0, 255]; Unusable where there is none.

        What is more than 8 bits deep, or has a window, keeps its precision: it is float32. Pixels that are not square
        are resampled to squares.
        """
        try:
            dataset = _read(self.path, pixels=True)
            _check(dataset)
            if "PixelData" not in dataset:
                raise Unusable("it has no pixel data")
            return _squared(_picture(dataset, _decoded(dataset)), dataset)
        except Unusable:
            raise
        except Exception as error:  # pydicom's readers raise about every type there is on damaged files
            raise Unusable(f"a truncated or damaged DICOM file ({type(error).__name__})") from error


def is_dicom(path: Path) -> bool:
    """Whether a file is named as DICOM, or bears its mark."""
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == MAGIC
    except OSError:
        return False


def can_read() -> bool:
    """Whether pydicom is installed."""
    return find_spec("pydicom") is not None


def read_header(path: Path) -> Header:
    """Whose image a DICOM file is; Unusable where it is no single radiograph of a bearable size. No pixel is read."""
    if not can_read():
        raise Unusable(f"a DICOM file, which needs pydicom; {INSTALL}")
    try:
        dataset = _read(path, pixels=False)
        _check(dataset)
        patient, issuer = (_text(dataset, name) for name in ("PatientID", "IssuerOfPatientID"))
        texts = {_text(dataset, name).casefold() for name in IDENTIFIERS} - {""}
        return Header(
            patient=(f"{issuer}\n{patient}" if issuer else patient) if patient else None,
            words=frozenset().union(*map(_words, texts)),
            values=frozenset(texts | {_text(dataset, name) for name in UIDS} - {""}),
            is_synthetic=_text(dataset, "SyntheticData").upper() == "YES",
        )
    except Unusable:
        raise
    except Exception as error:  # as above; the error's text may hold a value of the header, and is not repeated
        raise Unusable(f"a damaged DICOM header ({type(error).__name__})") from error


def _read(path: Path, *, pixels: bool) -> "Dataset":
    """The elements that count of a file, its pixels only if asked for."""
    from pydicom import dcmread
    from pydicom.filereader import read_file_meta_info

    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            is_marked = file.read(132)[128:] == MAGIC
    except OSError as error:
        raise Unusable(f"cannot be read: {error.strerror}") from error
    if size > MAX_BYTES:
        raise Unusable(f"the file has more than {MAX_BYTES:,} bytes")
    if not is_marked:
        raise Unusable("named as DICOM, but without its mark (DICM)")
    meta = read_file_meta_info(path)
    if meta.get("TransferSyntaxUID") == DEFLATED:  # would be inflated whole before its size is known
        raise Unusable("of the deflated transfer syntax, which is not read; save it in another one")
    if meta.get("MediaStorageSOPClassUID") == MEDIA_DIRECTORY:
        raise Unusable("the directory of a DICOM medium (DICOMDIR), no image")
    tags: list[Any] = [*TAGS, "PixelData"] if pixels else list(TAGS)
    dataset = dcmread(path, stop_before_pixels=not pixels, specific_tags=tags)
    if "SOPClassUID" not in dataset and "MediaStorageSOPClassUID" in meta:
        dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    return dataset


def _check(dataset: "Dataset") -> None:
    """Unusable unless a header is that of one radiograph whose size the memory bears."""
    kind = str(dataset.get("SOPClassUID") or "")
    if kind == FOR_PROCESSING:
        raise Unusable("raw detector data (Digital X-Ray, for processing); export the image for presentation")
    if kind not in RADIOGRAPHS:
        raise Unusable(f"{_known_name(kind)}: only CR, DX and secondary capture are read")
    if not dataset.get("Rows") or not dataset.get("Columns"):
        raise Unusable("it has no pixel data")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise Unusable(f"{frames} frames: only single images are read")
    check_sides(int(dataset.Columns), int(dataset.Rows))
    if _text(dataset, "BurnedInAnnotation").upper() == "YES":
        raise Unusable("Burned In Annotation is YES: the picture itself may name the patient")


def _known_name(uid: str) -> str:
    """The standard's name of a UID; anything else in its place may be somebody's, and is not repeated."""
    from pydicom.uid import UID

    name = UID(uid, validation_mode=0).name if uid else uid
    return name if name != uid else "of no known kind"


def _decoded(dataset: "Dataset") -> "NDArray[Any]":
    """(H, W) or (H, W, 3) as stored, decompressed; YBR becomes RGB."""
    from pydicom.pixels.utils import pixel_array

    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated:
        if not codecs.is_available(syntax):
            raise Unusable(f"compressed as {_known_name(syntax)}, for which there is no decoder here; {INSTALL}")
        _check_codestream(dataset)
    try:
        return codecs.decompressed(dataset) if syntax.is_encapsulated else pixel_array(dataset, index=0)
    except Exception as error:  # as above
        raise Unusable(f"its pixels cannot be decoded: {_known_name(syntax)}") from error


def _check_codestream(dataset: "Dataset") -> None:
    """Unusable where a compressed picture claims another size than the header, which was found bearable."""
    from pydicom.encaps import get_frame

    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    wanted = (int(dataset.Columns), int(dataset.Rows))
    if dataset.file_meta.TransferSyntaxUID == codecs.RLE:
        if max(map(_rle_length, _rle_segments(frame)), default=0) > wanted[0] * wanted[1] + 1:  # 1: to even length
            raise Unusable("its compressed picture is larger than its header says")
        return
    claimed = _codestream_size(frame)
    if claimed is not None and claimed != wanted:
        raise Unusable("its compressed picture is {} x {} pixels, its header says {} x {}".format(*claimed, *wanted))


def _rle_segments(frame: bytes) -> list[bytes]:
    """The runs of each byte of the pixels (PS3.5 G.5): 16 whole numbers come first, how many and where they begin."""
    num, *starts = (int.from_bytes(frame[at : at + 4], "little") for at in range(0, 64, 4))
    ends = [*starts[1:num], len(frame)]
    return [frame[start:end] for start, end in zip(starts[:num], ends, strict=False)]


def _rle_length(segment: bytes) -> int:
    """How many bytes the runs unpack to (PS3.5 G.3.2): up to 64 times their own, and pydicom knows no bound."""
    place = length = 0
    while place < len(segment):
        head = segment[place]
        length += head + 1 if head < 128 else (257 - head) % 129
        place += head + 2 if head < 128 else 2 - (head == 128)
    return length


def _codestream_size(frame: bytes) -> tuple[int, int] | None:
    """Width and height in the header of a JPEG, JPEG-LS or JPEG 2000 codestream; None for anything else."""
    start = frame.find(b"\xff\x4f\xff\x51", 0, 4096)  # SOC and SIZ, in a JP2 file behind its boxes
    if start >= 0:
        right, bottom, left, top = (int.from_bytes(frame[start + at : start + at + 4], "big") for at in (8, 12, 16, 20))
        return right - left, bottom - top
    place = 2  # behind the SOI
    while frame[:2] == b"\xff\xd8" and place + 9 <= len(frame) and frame[place] == 0xFF:
        marker = frame[place + 1]
        if marker in SIZES:
            height, width = (int.from_bytes(frame[place + at : place + at + 2], "big") for at in (5, 7))
            return width, height
        place += 1 if marker == 0xFF else 2 + int.from_bytes(frame[place + 2 : place + 4], "big")  # 0xFF: a fill byte
    return None


def _picture(dataset: "Dataset", stored: "NDArray[Any]") -> "NDArray[np.uint8] | NDArray[np.float32]":
    """Stored values -> (H, W, 3) uint8 of colour, (H, W) uint8 of plain 8-bit grey, or (H, W) float32 in [0, 255]."""
    photometric = dataset.PhotometricInterpretation
    if photometric == "PALETTE COLOR":
        from pydicom.pixels.processing import apply_color_lut

        colours = apply_color_lut(stored, dataset)
        return _eight_bits(colours, 8 * colours.dtype.itemsize)
    if stored.ndim == 3:
        return _eight_bits(stored, int(dataset.BitsStored))
    if photometric not in GREY:
        raise Unusable("of a colour space that is not read")
    padding = _padding(dataset, stored)
    if padding.all():
        raise Unusable("every pixel is padding")
    values = _modality(dataset, stored)
    grey = _seen(dataset, values, padding)
    is_plain = grey is None
    if grey is None:
        low, high = _range(dataset, values[~padding])
        grey = (values - low) * (255 / (high - low))
    if photometric == "MONOCHROME1":
        grey = 255 - grey
    grey[padding] = 0  # black, as the air beside a patient is
    if is_plain and dataset.BitsStored <= 8:
        return grey.round().astype(np.uint8)
    return grey.clip(0, 255).astype(np.float32)


def _eight_bits(colours: "NDArray[Any]", bits: int) -> "NDArray[np.uint8]":
    """(H, W, 3) of `bits` bits -> uint8."""
    return colours.astype(np.uint8) if bits == 8 else (colours * (255 / (2**bits - 1))).round().astype(np.uint8)


def _padding(dataset: "Dataset", stored: "NDArray[Any]") -> "NDArray[np.bool_]":
    """Where there is no picture: stored values from Pixel Padding Value to its range limit (PS3.3 C.7.5.1.1.2)."""
    value = _number(dataset, "PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, dtype=np.bool_)
    limit = _number(dataset, "PixelPaddingRangeLimit")
    low, high = sorted((value, value if limit is None else limit))
    return (stored >= low) & (stored <= high)


def _modality(dataset: "Dataset", stored: "NDArray[Any]") -> "NDArray[np.float64]":
    """Stored values -> those of the modality: its LUT, or slope and intercept (PS3.3 C.11.1)."""
    if dataset.get("ModalityLUTSequence"):
        return _looked_up(dataset.ModalityLUTSequence[0], stored, dataset)[0]
    slope, intercept = _number(dataset, "RescaleSlope"), _number(dataset, "RescaleIntercept")
    values = stored.astype(np.float64)
    return values if slope is None or intercept is None else values * slope + intercept


def _seen(
    dataset: "Dataset", values: "NDArray[np.float64]", padding: "NDArray[np.bool_]"
) -> "NDArray[np.float64] | None":
    """The first VOI LUT, else the first window: values -> [0, 255]; None where there is neither (PS3.3 C.11.2)."""
    if dataset.get("VOILUTSequence"):
        looked_up, top = _looked_up(dataset.VOILUTSequence[0], values, dataset)
        return looked_up * (255 / top)
    center, width = _number(dataset, "WindowCenter"), _number(dataset, "WindowWidth")
    function = _text(dataset, "VOILUTFunction").upper() or "LINEAR"
    if center is None or width is None or width <= 0 or (function == "LINEAR" and width < 1):
        return None
    if function == "SIGMOID":
        return np.asarray(255 / (1 + np.exp((-4 * (values - center) / width).clip(-700, 700))))
    if function == "LINEAR":  # C.11.2.1.2.1: integers from c - w/2 to c + w/2 - 1
        center, width = center - 0.5, width - 1
    if width == 0:
        return np.where(values > center, 255.0, 0.0)
    return (((values - center) / width + 0.5) * 255).clip(0, 255)


def _looked_up(table: "Dataset", values: "NDArray[Any]", dataset: "Dataset") -> "tuple[NDArray[np.float64], int]":
    """Values through a LUT, and the largest value that it can give; outside it, the first and last entries count.

    pydicom's `apply_voi` wraps around where values are deeper than the entries.
    """
    num, first, bits = (int(each) for each in table.LUTDescriptor)
    data = table.LUTData
    if isinstance(data, bytes):
        data = np.frombuffer(data, "<u2" if dataset.original_encoding[1] else ">u2")
    entries = np.atleast_1d(np.asarray(data, dtype=np.float64))[: num or 2**16]
    # Descriptors say 16 where the entries have 12 bits, and the picture would be black.
    bits = min(bits, max(1, int(entries.max())).bit_length())
    places = (values - first).clip(0, len(entries) - 1).astype(np.intp)
    return entries[places], 2**bits - 1


def _range(dataset: "Dataset", values: "NDArray[np.float64]") -> tuple[float, float]:
    """What is shown black and white where nothing says so: for 8 bits all that they hold, else the least and most."""
    low, high = float(values.min()), float(values.max())
    bits = int(dataset.BitsStored)
    if bits <= 8 and not dataset.get("ModalityLUTSequence"):
        least = -(2 ** (bits - 1)) if dataset.get("PixelRepresentation") else 0
        ends = _modality(dataset, np.array([least, least + 2**bits - 1]))
        low, high = float(ends.min()), float(ends.max())
    if not np.isfinite(high - low) or low == high:
        raise Unusable(f"every pixel has the grey value {low:g}")
    return low, high


def _squared(
    picture: "NDArray[np.uint8] | NDArray[np.float32]", dataset: "Dataset"
) -> "NDArray[np.uint8] | NDArray[np.float32]":
    """The picture with square pixels: the side that is too short is resampled."""
    height, width = picture.shape[:2]
    aspect = _aspect(dataset)
    if abs(aspect - 1) <= SQUARE:
        return picture
    if not 1 / MOST_STRETCHED <= aspect <= MOST_STRETCHED:
        raise Unusable(f"its pixels are {aspect:g} times as high as they are wide")
    size = (width, round(height * aspect)) if aspect > 1 else (round(width / aspect), height)
    check_sides(*size)
    resampled = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)).clip(0, 255)
    return resampled.astype(np.uint8) if picture.dtype == np.uint8 else resampled.astype(np.float32)


def _aspect(dataset: "Dataset") -> float:
    """The height of a pixel in widths: all four attributes give the vertical length first."""
    for name in SPACINGS:
        value = dataset.get(name)
        if value is not None and not isinstance(value, str) and len(value) == 2:
            vertical, horizontal = (float(each) for each in value)
            if vertical > 0 and horizontal > 0:
                return vertical / horizontal
    return 1.0


def _number(dataset: "Dataset", name: str) -> float | None:
    """A number, the first where there are several; None where there is none that is finite."""
    value = dataset.get(name)
    if isinstance(value, list) or (hasattr(value, "__iter__") and not isinstance(value, str)):
        value = next(iter(value), None)
    number = float("nan") if value is None or value == "" else float(value)
    return number if np.isfinite(number) else None


def _text(dataset: "Dataset", name: str) -> str:
    return str(dataset.get(name) or "").strip(" \0")


def _words(text: str) -> frozenset[str]:
    """The words and numbers of a text, of two characters at least."""
    return frozenset(word for word in re.split(r"[\W_]+", text.casefold()) if len(word) > 1)
