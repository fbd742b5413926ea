"""MedMNIST's .npz files."""

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cxrgan.data.dataset import SPLITS
from cxrgan.data.sources.record import CC_BY, MEDMNIST, ArrayImage, Record, Source
from cxrgan.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

PNEUMONIA_CLASSES = ("NORMAL", "PNEUMONIA")
MAX_NPZ_BYTES = 2**33  # unpacked; the biggest MedMNIST file of chest X-rays has 5.6 GB


def npz_source(path: Path) -> Source:
    """A MedMNIST file: {train,val,test}_images (N, H, W) or (N, H, W, 3) uint8, and _labels (N,) or (N, 1).

    A set with several labels per image has no classes: its images are unlabelled.
    """
    arrays = _load_npz(path)
    known = path.stem.startswith("pneumoniamnist")
    records = []
    for split in SPLITS:
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        _check_npz_arrays(path, split, images, labels)
        for index, image in enumerate(images):
            label = _npz_label(labels[index], PNEUMONIA_CLASSES if known else ())
            records.append(Record(ArrayImage(image), label, None, split, f"{split}_images/{index:06d}"))
    license, citation = (CC_BY, MEDMNIST) if known else (None, None)
    return Source(path.stem, license, citation, tuple(records))


def _load_npz(path: Path) -> "dict[str, NDArray[np.uint8]]":
    keys = [f"{split}_{part}" for split in SPLITS for part in ("images", "labels")]
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename.removesuffix(".npy"): entry.file_size for entry in archive.infolist()}
        missing = [key for key in keys if key not in entries]
        if missing:
            raise UserError(
                f"{path} is not a MedMNIST file: it lacks {', '.join(missing)}; give another file or a folder"
            )
        if sum(entries.values()) > MAX_NPZ_BYTES:
            raise UserError(f"{path} unpacks to more than {MAX_NPZ_BYTES:,} bytes; give a smaller file")
        with np.load(path, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in keys}
    except UserError:
        raise
    except Exception as error:  # numpy evaluates headers, and zip files have no common base class of their errors
        raise UserError(f"{path} is not a readable .npz file: {error}; download or save it again") from error


def _check_npz_arrays(path: Path, split: str, images: "NDArray[np.uint8]", labels: "NDArray[np.uint8]") -> None:
    is_grey, is_colour = images.ndim == 3, images.ndim == 4 and images.shape[-1] == 3
    if images.dtype != np.uint8 or not (is_grey or is_colour):
        raise UserError(
            f"{path}: {split}_images is {images.dtype} {images.shape}, but must be uint8 (N, H, W) or (N, H, W, 3)"
        )
    if labels.ndim not in (1, 2) or len(labels) != len(images) or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(
            f"{path}: {split}_labels is {labels.dtype} {labels.shape}, "
            f"but must be one whole number for each of the {len(images)} images"
        )


def _npz_label(label: "NDArray[np.uint8]", classes: tuple[str, ...]) -> str | None:
    if label.size != 1:
        return None
    index = int(label.item())
    return classes[index] if index in range(len(classes)) else str(index)
