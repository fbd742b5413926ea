"""A folder of images: subfolders or a table give split and class; Kaggle's names, DICOM or a table the patient."""

import os
import re
import warnings
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from cxrgan.console import track, warn
from cxrgan.data.dataset import SPLITS
from cxrgan.data.decode import Unusable
from cxrgan.data.sources.dicom import INSTALL, DicomImage, Header, can_read, is_dicom, read_header
from cxrgan.data.sources.labels import Labels
from cxrgan.data.sources.record import Record, Rejected, Source
from cxrgan.fields import is_name
from cxrgan.images import SHEET, SYNTHETIC

# person447_virus_921_1, IM-0439-0001-0002, NORMAL2-IM-0533-0001. Bacteria and virus number their patients
# apart: without that word, train and test would seem to share 170 patients.
KAGGLE_NAME = re.compile(r"(person\d+_(?:bacteria|virus)|(?:NORMAL2-)?IM-\d+)(?:[-_]\d+)+")
SYSTEM_FILES = {"__MACOSX", "Thumbs.db", "desktop.ini"}
PNG_HEAD = 4096  # bytes; the texts of a PNG that cxrgan makes lie in them


def folder_source(root: Path, labels: Labels | None = None) -> Source:
    """Every file below `root`; `train`, `val` and `test` are splits, and the folder below a split is the class.

    Without such folders, the first folder is the class, and files at the top have none. Folders around the splits
    do not matter, nor does a folder around everything with the name of `root` (chest_xray/chest_xray). With `labels`,
    classes come from them alone, and files without one are rejected.
    """
    root = root.resolve()
    files, rejected = _walk(root)
    files = [path for path in files if path not in labels.files] if labels else files
    depth = _nesting([path.relative_to(root).parts[:-1] for path in files], root.name)
    records = [_file_record(path, root, depth) for path in files]
    records, refused, headers = _with_dicom(records)
    rejected += refused
    num_synthetic = sum(header.is_synthetic for header in headers or ()) + sum(map(_is_synthetic_png, files))
    if labels:
        records, refused = labels.join(records)
        rejected += refused
    if any(record.split for record in records):
        outside = [record.origin for record in records if not record.split]
        rejected += [Rejected(origin, "outside the folders train, val and test") for origin in outside]
        records = [record for record in records if record.split]
    nameless = [record.origin for record in records if not is_name(record.label or "none")]
    rejected += [Rejected(origin, "in a folder whose name cannot be a class") for origin in nameless]
    records = [record for record in records if is_name(record.label or "none")]
    is_patients = any(header.is_named_by(root.name) for header in headers or ())
    name = "dicom" if is_patients else _text(root.name)
    return Source(
        name, None, None, tuple(records), tuple(rejected), is_private=headers is not None, num_synthetic=num_synthetic
    )


def _with_dicom(records: list[Record]) -> tuple[list[Record], list[Rejected], list[Header] | None]:
    """The records, those of DICOM with picture and patient; the DICOM files that are refused; the headers, if any."""
    dicom = [record for record in records if isinstance(record.image, Path) and is_dicom(record.image)]
    if not dicom:
        return records, [], None
    if not can_read():
        warn(f"{len(dicom):,} DICOM files are left out, since pydicom is missing; {INSTALL}")
    kept: list[Record] = []
    rejected: list[Rejected] = []
    headers: dict[str, list[Header]] = defaultdict(list)  # by class
    for record in track(dicom, "Reading DICOM headers", len(dicom)):
        assert isinstance(record.image, Path)
        try:
            with warnings.catch_warnings(action="ignore"):  # pydicom's, which repeat values of the header
                header = read_header(record.image)
        except Unusable as reason:
            rejected.append(Rejected(record.origin, str(reason)))
            continue
        headers[record.label or ""].append(header)
        kept.append(replace(record, image=DicomImage(record.image), patient=header.patient))
    names = {record.origin for record in dicom}
    kept += [record for record in records if record.origin not in names]
    patients = {label for label, found in headers.items() if _is_of_one_patient(label, found)}
    if patients:
        warn(f"{len(patients):,} folders have the names of their patients, and make no classes")
        kept = [replace(record, label=None) if record.label in patients else record for record in kept]
    return kept, rejected, [header for found in headers.values() for header in found]


def _is_synthetic_png(path: Path) -> bool:
    """Whether a file is a PNG that cxrgan made."""
    if path.suffix.lower() != ".png":
        return False
    try:
        with path.open("rb") as file:
            return SYNTHETIC.encode() in file.read(PNG_HEAD)
    except OSError:
        return False  # it is rejected, with this reason, when it is decoded


def _is_of_one_patient(folder: str, headers: list[Header]) -> bool:
    """Whether a folder is a patient's and no class, as scanners and viewers export them."""
    return len({header.patient for header in headers}) == 1 and headers[0].is_named_by(folder)


def _walk(root: Path) -> tuple[list[Path], list[Rejected]]:
    """All regular files below `root`, and those that are rejected; hidden and system files are skipped."""
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
                rejected.append(Rejected(_origin(path, root), "a link out of the source folder"))
            elif path.is_dir():
                rejected.append(Rejected(_origin(path, root), "a link to a folder (not followed)"))
            elif not path.is_file():
                rejected.append(Rejected(_origin(path, root), "a broken link, or not a regular file"))
            elif name == SHEET:
                rejected.append(Rejected(_origin(path, root), "the grid that cxrgan generate writes beside its images"))
            else:
                files.append(path)
    return files, rejected


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in SYSTEM_FILES


def _nesting(folders: list[tuple[str, ...]], name: str) -> int:
    """How many nested folders called `name` surround everything."""
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
    """The split and the class given by the folders around a file."""
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
