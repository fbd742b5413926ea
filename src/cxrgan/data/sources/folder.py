"""Where images come from: a folder, an .npz file, a download or the phantom, each as a list of records.

Nothing is decoded here: a record says where an image is and what is known of it; `prepare` does the rest.
"""

import os
import re
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from cxrgan.data.dataset import SPLITS
from cxrgan.errors import UserError
from cxrgan.fields import is_name
from cxrgan.images import SHEET

if TYPE_CHECKING:
    from numpy.typing import NDArray

CC_BY = "CC BY 4.0"
KERMANY = (
    "Kermany, Zhang, Goldbaum: Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images for "
    "Classification, Mendeley Data, v2, doi 10.17632/rscbjbr9sj"
)
MEDMNIST = f"Yang et al.: MedMNIST v2, Scientific Data, 2023, doi 10.1038/s41597-022-01721-8; made from {KERMANY}"

PNEUMONIA_CLASSES = ("NORMAL", "PNEUMONIA")
PNEUMONIAMNIST_URL = "https://zenodo.org/records/10519652/files/{name}?download=1"
PNEUMONIAMNIST_MD5 = {  # pixels a side -> checksum of the file
    28: "28209eda62fecd6e6a2d98b1501bb15f",
    64: "8f4eceb4ccffa70c672198ea285246c6",
    128: "05b46931834c231683c68f40c47b2971",
    224: "d6a3c71de1b945ea11211b03746c1fe1",
}
MAX_NPZ_BYTES = 2**33  # unpacked; the biggest MedMNIST file of chest X-rays has 5.6 GB

# person447_virus_921_1, IM-0439-0001-0002, NORMAL2-IM-0533-0001. Bacteria and virus number their patients
# apart: without that word, train and test would seem to share 170 patients.
KAGGLE_NAME = re.compile(r"(person\d+_(?:bacteria|virus)|(?:NORMAL2-)?IM-\d+)(?:[-_]\d+)+")
SYSTEM_FILES = {"__MACOSX", "Thumbs.db", "desktop.ini"}


class MadeImage(Protocol):
    """An image that is no file; cheap until it is loaded."""

    def load(self) -> "NDArray[np.uint8]":
        """(H, W) or (H, W, 3) uint8."""
        ...


@dataclass(frozen=True, eq=False)
class ArrayImage:
    """One image of a larger array."""

    array: "NDArray[np.uint8]"

    def load(self) -> "NDArray[np.uint8]":
        """(H, W) or (H, W, 3) uint8."""
        return self.array


@dataclass(frozen=True)
class PhantomImage:
    """One image of the phantom, drawn when it is loaded."""

    seed: int
    index: int
    size: int
    label: str

    def load(self) -> "NDArray[np.uint8]":
        """(size, size) uint8."""
        from cxrgan.data.phantom import phantom

        return phantom(self.seed, self.index, self.size, self.label)


@dataclass(frozen=True)
class Record:
    """One image of a source, not yet decoded."""

    image: Path | MadeImage
    """A file to decode, or something that makes the pixels."""
    label: str | None
    """The class; None where the source has none."""
    patient: str | None
    """Who is on the image; None where nobody says, and then the image is a patient of its own."""
    split: str | None
    """train, val or test; None throughout a source that has no split."""
    origin: str
    """Its place in the source, the same on every machine."""


@dataclass(frozen=True)
class Rejected:
    """Something in the source that cannot be used, and why."""

    origin: str
    reason: str


@dataclass(frozen=True)
class Source:
    """All that a source offers."""

    name: str
    license: str | None
    citation: str | None
    records: tuple[Record, ...]
    rejected: tuple[Rejected, ...] = ()


def open_source(source: str, *, size: int, seed: int, num: int) -> Source:
    """What the command line calls SOURCE: `phantom`, `kaggle`, `pneumoniamnist`, an .npz file or a folder.

    `size` chooses the resolution of a download and of the phantom; `seed` and `num` are the phantom's.
    """
    match source:
        case "phantom":
            return phantom_source(num=num, size=size, seed=seed)
        case "kaggle":
            return replace(folder_source(fetch_kaggle()), name="kaggle", license=CC_BY, citation=KERMANY)
        case "pneumoniamnist":
            return npz_source(fetch_pneumoniamnist(size))
    path = Path(source).expanduser()
    if path.is_dir():
        return folder_source(path)
    if path.suffix == ".npz" and path.is_file():
        return npz_source(path)
    problem = "is a file of another kind" if path.exists() else "does not exist"
    raise UserError(f"{source} {problem}; give a folder of images, an .npz file, phantom, kaggle or pneumoniamnist")


def folder_source(root: Path) -> Source:
    """Every file below `root`; `train`, `val` and `test` are splits, the folder below is the class.

    Where no folder is called so, the first folder is the class, and files at the top have none. Folders
    around the splits do not matter, nor does one around all with the name of `root` (chest_xray/chest_xray).
    """
    root = root.resolve()
    files, rejected = _walk(root)
    depth = _nesting([path.relative_to(root).parts[:-1] for path in files], root.name)
    records = [_file_record(path, root, depth) for path in files]
    if any(record.split for record in records):
        outside = [record.origin for record in records if not record.split]
        rejected += [Rejected(origin, "outside the folders train, val and test") for origin in outside]
        records = [record for record in records if record.split]
    nameless = [record.origin for record in records if not is_name(record.label or "none")]
    rejected += [Rejected(origin, "in a folder whose name can be no class") for origin in nameless]
    records = [record for record in records if is_name(record.label or "none")]
    return Source(_text(root.name), None, None, tuple(records), tuple(rejected))


def npz_source(path: Path) -> Source:
    """A MedMNIST file: {train,val,test}_images (N, H, W) or (N, H, W, 3) uint8, and _labels (N,) or (N, 1).

    A set with several labels an image has no classes: its images are unlabelled.
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


def phantom_source(*, num: int, size: int, seed: int) -> Source:
    """`num` drawn chests, the classes in turn, each a patient of its own."""
    from cxrgan.data.phantom import CLASSES

    if num < 1:
        raise UserError(f"num is {num}, but at least 1 phantom image is needed")
    labels = [CLASSES[index % len(CLASSES)] for index in range(num)]
    records = [
        Record(PhantomImage(seed, index, size, label), label, None, None, f"phantom/{seed}/{index:06d}")
        for index, label in enumerate(labels)
    ]
    return Source("phantom", "CC0-1.0", "made by cxrgan", tuple(records))


def fetch_pneumoniamnist(size: int) -> Path:
    """Download PneumoniaMNIST, or find it in the cache, at the smallest resolution that has `size` pixels."""
    import pooch

    pixels = min((side for side in PNEUMONIAMNIST_MD5 if side >= size), default=max(PNEUMONIAMNIST_MD5))
    name = "pneumoniamnist.npz" if pixels == 28 else f"pneumoniamnist_{pixels}.npz"
    url = PNEUMONIAMNIST_URL.format(name=name)
    cache = Path(pooch.os_cache("cxrgan"))
    by_hand = f"download it by hand and give the file as SOURCE, or put it at {cache / name}"
    try:
        return Path(pooch.retrieve(url, known_hash=f"md5:{PNEUMONIAMNIST_MD5[pixels]}", fname=name, path=cache))
    except ValueError as error:
        raise UserError(f"the file from {url} has another checksum than it should; try again, or {by_hand}") from error
    except OSError as error:
        raise UserError(f"cannot download {url} ({error}); {by_hand}") from error


def fetch_kaggle() -> Path:
    """Download paultimothymooney/chest-xray-pneumonia with kagglehub, or find it in its cache."""
    try:
        import kagglehub
    except ImportError as error:
        raise UserError("the source kaggle needs kagglehub: in the checkout, pip install '.[kaggle]'") from error
    try:
        folder = Path(kagglehub.dataset_download("paultimothymooney/chest-xray-pneumonia"))
    except Exception as error:  # kagglehub has no common base class for its errors
        raise UserError(f"cannot download from Kaggle ({error}); download by hand and give the folder") from error
    nested = folder / "chest_xray" / "chest_xray"  # the archive holds everything twice; take one of them
    return nested if nested.is_dir() else folder


def _walk(root: Path) -> tuple[list[Path], list[Rejected]]:
    """All regular files below `root`, and what is refused; hidden and system files are neither."""
    files: list[Path] = []
    rejected: list[Rejected] = []

    def set_aside(error: OSError) -> None:
        rejected.append(Rejected(_origin(Path(error.filename), root), f"cannot be read: {error.strerror}"))

    for folder, folders, names in os.walk(root, onerror=set_aside):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in [*links, *(name for name in names if not _is_hidden(name))]:
            path = Path(folder, name)
            if not Path(os.path.realpath(path)).is_relative_to(root):
                rejected.append(Rejected(_origin(path, root), "a link that leaves the source folder"))
            elif path.is_dir():
                rejected.append(Rejected(_origin(path, root), "a link to a folder, which is not followed"))
            elif not path.is_file():
                rejected.append(Rejected(_origin(path, root), "a broken link or no regular file"))
            elif name == SHEET:
                rejected.append(
                    Rejected(_origin(path, root), "the sheet that cxrgan generate writes beside its images")
                )
            else:
                files.append(path)
    return files, rejected


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in SYSTEM_FILES


def _nesting(folders: list[tuple[str, ...]], name: str) -> int:
    """How many folders called `name` lie in each other around everything that is in a folder."""
    depth = 0
    while (inside := [parts for parts in folders if len(parts) > depth]) and all(
        parts[depth] == name for parts in inside
    ):
        depth += 1
    return depth


def _file_record(path: Path, root: Path, depth: int) -> Record:
    split, label = _place(path.relative_to(root).parts[depth:-1])
    name = KAGGLE_NAME.fullmatch(path.stem)
    return Record(path, label, name[1] if name else None, split, _origin(path, root))


def _place(folders: tuple[str, ...]) -> tuple[str | None, str | None]:
    """The split and the class that the folders around a file say."""
    for index, folder in enumerate(folders):
        if folder.casefold() in SPLITS:
            return folder.casefold(), next(iter(folders[index + 1 :]), None)
    return None, next(iter(folders), None)


def _origin(path: Path, root: Path) -> str:
    """The path inside the source, with / and in valid Unicode whatever bytes the name has."""
    return _text(path.relative_to(root).as_posix())


def _text(name: str) -> str:
    """A file's name in valid Unicode, whatever bytes it has."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _load_npz(path: Path) -> "dict[str, NDArray[np.uint8]]":
    keys = [f"{split}_{part}" for split in SPLITS for part in ("images", "labels")]
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename.removesuffix(".npy"): entry.file_size for entry in archive.infolist()}
        missing = [key for key in keys if key not in entries]
        if missing:
            raise UserError(f"{path} is no MedMNIST file: it lacks {', '.join(missing)}")
        if sum(entries.values()) > MAX_NPZ_BYTES:
            raise UserError(f"{path} unpacks to more than {MAX_NPZ_BYTES:,} bytes; give a smaller file")
        with np.load(path, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in keys}
    except UserError:
        raise
    except Exception as error:  # numpy evaluates headers, and zip files have no common base class of their errors
        raise UserError(f"{path} is no readable .npz file: {error}") from error


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
