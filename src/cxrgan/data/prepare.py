"""Any source -> one dataset folder: `images.npy` (N, H, W) uint8 and `manifest.json`; entry i describes row i.

Bad input is left out with the reason, byte-identical copies are left out, and each patient stays in one split.
"""

import hashlib
import os
import shutil
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, get_args

import numpy as np
from PIL import Image

from cxrgan.console import note, track, warn
from cxrgan.data.dataset import FORMAT, SPLITS
from cxrgan.data.decode import Unusable, decode, made_grey, read_image
from cxrgan.data.sources.dicom import DicomImage
from cxrgan.data.sources.labels import LabelTable
from cxrgan.data.sources.open import open_source
from cxrgan.data.sources.pseudonyms import Pseudonyms, read_pseudonyms
from cxrgan.data.sources.record import Record, Rejected, Source
from cxrgan.errors import RunError, UserError
from cxrgan.fields import MAX_WHOLE, shown
from cxrgan.files import check_free, remove_leftovers, replacing, trouble, write_json
from cxrgan.images import Fit, check_image_size, resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}  # of a split made here
FEW_IMAGES = 64  # a usual batch
UNLABELLED = "unlabelled"
ENTRY_BYTES = 1000  # of an image beside its pixels: its entry in the manifest, in memory and on the disk
NUM_SHOWN = 5  # reasons in the summary, and files of one of them


class ImageEntry(TypedDict):
    """Row i of images.npy."""

    split: str
    label: str | None
    patient: str | None
    origin: str
    sha256: str


class RejectedEntry(TypedDict):
    """A file that is not in the dataset, and why."""

    origin: str
    reason: str


class DuplicateEntry(TypedDict):
    """A file left out because its bytes are those of an image in the dataset."""

    origin: str
    same_as: str
    differs: list[str]
    """Which of split, label and patient differ between the two: a sign of leaks and wrong labels."""


class OverlapEntry(TypedDict):
    """Patients who are in both of two splits."""

    splits: list[str]
    patients: list[str]


class Manifest(TypedDict):
    """The content of manifest.json; counts and num_patients have the splits that hold images."""

    format: int
    name: str
    size: int
    fit: Fit
    seed: int
    classes: list[str]
    images_sha256: str
    counts: dict[str, dict[str, int]]
    num_patients: dict[str, int]
    patient_overlap: list[OverlapEntry]
    license: str | None
    citation: str | None
    rejected: list[RejectedEntry]
    duplicates: list[DuplicateEntry]
    images: list[ImageEntry]


def prepare(
    source: str,
    out: Path,
    size: int = 64,
    fit: Fit = "crop",
    seed: int = 0,
    num: int = 2000,
    *,
    labels: LabelTable | None = None,
    patient_key: Path | None = None,
) -> Manifest:
    """Make the dataset folder `out` from `source` (see `open_source`) and return its manifest.

    Images become `size` x `size` as `fit` says. `seed` decides the split where the source has none, and the
    phantom, of which `num` images are made. `labels` give the classes of a folder. Neither the order of files and rows
    nor the cores change the result. Where there is DICOM, patients and files get pseudonyms (see `pseudonyms`), by the
    key in the file `patient_key`.
    """
    check_image_size(size)
    if fit not in get_args(Fit):
        raise UserError(f"fit is {fit}, but must be one of {', '.join(get_args(Fit))}")
    if not 0 <= seed <= MAX_WHOLE:
        raise UserError(f"seed is {shown(seed)}, but must be from 0 to {MAX_WHOLE}")
    check_free(out, "the dataset")
    for leftover in remove_leftovers(out):
        warn(f"removed {leftover}, left over from a prepare that was killed")
    if source == "phantom":
        _check_room(num, size, out)
    opened = open_source(source, size=size, seed=seed, num=num, labels=labels)
    _check_room(len(opened.records), size, out)
    if opened.is_private:
        records, refused, paths = _hidden(opened, seed, read_pseudonyms(patient_key, out))
    else:
        records, refused, paths = _with_splits(opened.records, seed), list(opened.rejected), {}
    records.sort(key=_order)
    try:
        with replacing(out) as folder:
            folder.mkdir()
            images, entries, rejected, duplicates = _decode_all(records, size, fit)
            rejected += [RejectedEntry(origin=item.origin, reason=item.reason) for item in refused]
            if not entries:
                raise UserError(_nothing_usable(source, rejected, paths))
            _say_which(rejected, paths)
            digest = _save(folder / "images.npy", images)
            manifest = _manifest(opened, size, fit, seed, digest, entries, rejected, duplicates)
            write_json(folder / "manifest.json", manifest)
    except OSError as error:
        raise RunError(f"cannot write {trouble(error)}") from error
    _warn_if_few(manifest)
    return manifest


def summary(manifest: Manifest) -> str:
    """What is in a dataset and what was left out, in a few lines for people."""
    size = manifest["size"]
    lines = [f"{manifest['name']}: {len(manifest['images'])} images, {size} x {size} pixels ({manifest['fit']})"]
    for split, counts in manifest["counts"].items():
        classes = ", ".join(f"{count} {label}" for label, count in counts.items())
        num_patients = manifest["num_patients"][split]
        lines.append(f"  {split:5} {sum(counts.values()):6}: {classes}; named patients: {num_patients}")
    for overlap in manifest["patient_overlap"]:
        both, patients = " and ".join(overlap["splits"]), overlap["patients"]
        lines.append(f"named patients in both {both}: {len(patients)}, such as {patients[0]}")
    duplicates = manifest["duplicates"]
    if duplicates:
        crossing = sum(bool(duplicate["differs"]) for duplicate in duplicates)
        lines.append(
            f"byte-identical copies left out: {len(duplicates)} ({crossing} of them with another split, label or "
            "patient)"
        )
    rejected = manifest["rejected"]
    if rejected:
        lines.append(f"files left out: {len(rejected)}")
        reasons = Counter(item["reason"] for item in rejected).most_common()
        first = {item["reason"]: item["origin"] for item in reversed(rejected)}
        lines += [f"  {count}: {reason} ({first[reason]})" for reason, count in reasons[:NUM_SHOWN]]
        if len(reasons) > NUM_SHOWN:
            lines.append(f"  and for {len(reasons) - NUM_SHOWN} other reasons, in manifest.json")
    return "\n".join(lines)


def decode_records(records: list[Record], size: int, fit: Fit) -> "Iterator[tuple[str, NDArray[np.uint8] | Unusable]]":
    """For each record, in order: the SHA-256 of its content, and (size, size) uint8 or the reason why not.

    Pillow releases Python's lock while it works; at most one image per core is in memory at full size.
    """
    with warnings.catch_warnings(), ThreadPoolExecutor(num_cores()) as pool:
        warnings.simplefilter("ignore")  # Pillow's, on damaged files: the manifest says what is wrong with them
        try:
            yield from pool.map(partial(_pixels, size=size, fit=fit), records)
        finally:
            pool.shutdown(cancel_futures=True)


def num_cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_room(num: int, size: int, out: Path) -> None:
    """UserError if `num` images do not fit into this machine's memory, or on the disk of `out`."""
    folder = next(parent for parent in out.absolute().parents if parent.is_dir())
    room = {"disk": shutil.disk_usage(folder).free}
    if hasattr(os, "sysconf"):  # not on Windows
        room["memory"] = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    most = min(room.values()) // (size**2 + ENTRY_BYTES)
    if num > most:
        raise UserError(
            f"{shown(num)} images of {size} x {size} pixels do not fit on this machine "
            f"({', '.join(f'{name} {amount / 1e9:.1f} GB' for name, amount in room.items())}); "
            f"at most {most:,} fit, so prepare fewer images or use a smaller --size"
        )


def _hidden(source: Source, seed: int, pseudonyms: Pseudonyms) -> tuple[list[Record], list[Rejected], dict[str, str]]:
    """The records of a private source with splits, and what was rejected, all under pseudonyms; pseudonym -> path.

    The split of a DICOM file is drawn from its pseudonym, and so says nothing of the patient; that of another file from
    what it always was drawn from, so that the first DICOM file in a folder moves no patient.
    """
    seen = [pseudonyms.record(record) if _is_dicom(record) else record for record in source.records]
    drawn = _with_splits(seen, seed)
    records = [record if _is_dicom(record) else pseudonyms.record(record) for record in drawn]
    rejected = [Rejected(pseudonyms.origin(item.origin), item.reason) for item in source.rejected]
    origins = [record.origin for record in source.records] + [item.origin for item in source.rejected]
    return records, rejected, {pseudonyms.origin(origin): origin for origin in origins}


def _is_dicom(record: Record) -> bool:
    return isinstance(record.image, DicomImage)


def _say_which(rejected: list[RejectedEntry], paths: dict[str, str]) -> None:
    """Name the rejected files of a private source to the one who prepares it, by reason; the manifest will not."""
    by_reason: dict[str, list[str]] = {}
    for item in rejected if paths else []:
        by_reason.setdefault(item["reason"], []).append(paths[item["origin"]])
    for reason, names in sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))[:NUM_SHOWN]:
        more = f" and {len(names) - NUM_SHOWN:,} more" if len(names) > NUM_SHOWN else ""
        note(f"left out ({reason}): {', '.join(sorted(names)[:NUM_SHOWN])}{more}")


def _with_splits(records: Sequence[Record], seed: int) -> list[Record]:
    """The records, each with a split: the source's own, or one made by patient."""
    if any(record.split for record in records):
        return list(records)
    return [replace(record, split=_drawn_split(record.patient or record.origin, seed)) for record in records]


def _drawn_split(patient: str, seed: int) -> str:
    """A split that depends only on the patient and the seed, so that new files move no patient."""
    digest = hashlib.sha256(f"{seed}:{patient}".encode()).digest()
    place = int.from_bytes(digest[:8]) / 2**64
    if place < SHARES["train"]:
        return "train"
    return "val" if place < SHARES["train"] + SHARES["val"] else "test"


def _order(record: Record) -> tuple[int, str, str]:
    return SPLITS.index(record.split or "train"), record.label or "", record.origin


def _decode_all(
    records: list[Record], size: int, fit: Fit
) -> "tuple[NDArray[np.uint8], list[ImageEntry], list[RejectedEntry], list[DuplicateEntry]]":
    """(N, size, size) uint8, and what became of each record, in the order of `records`."""
    images = np.empty((len(records), size, size), dtype=np.uint8)
    kept: dict[str, ImageEntry] = {}  # by sha256
    rejected: list[RejectedEntry] = []
    duplicates: list[DuplicateEntry] = []
    pixels = track(decode_records(records, size, fit), "Preparing", len(records))
    for record, (digest, result) in zip(records, pixels, strict=True):
        entry = ImageEntry(
            split=record.split or "train",
            label=record.label,
            patient=record.patient,
            origin=record.origin,
            sha256=digest,
        )
        if isinstance(result, Unusable):
            rejected.append(RejectedEntry(origin=record.origin, reason=str(result)))
        elif digest in kept:
            duplicates.append(_duplicate(entry, kept[digest]))
        else:
            images[len(kept)] = result
            kept[digest] = entry
    return images[: len(kept)], list(kept.values()), rejected, duplicates


def _duplicate(entry: ImageEntry, first: ImageEntry) -> DuplicateEntry:
    pairs = {key: (entry[key], first[key]) for key in ("split", "label", "patient")}
    differs = [key for key, (mine, other) in pairs.items() if mine != other]
    return DuplicateEntry(origin=entry["origin"], same_as=first["origin"], differs=differs)


def _pixels(record: Record, size: int, fit: Fit) -> "tuple[str, NDArray[np.uint8] | Unusable]":
    """SHA-256 of the record's content, and (size, size) uint8 or why there are none."""
    digest = ""
    try:
        if isinstance(record.image, Path):
            content = read_image(record.image)
            digest = hashlib.sha256(content).hexdigest()
            grey = decode(content, size)
        else:
            array = record.image.load()
            digest = hashlib.sha256(array.tobytes()).hexdigest()
            grey = made_grey(array)
        return digest, _quantised(resize(grey, size, fit))
    except Unusable as reason:
        return digest, reason


def _quantised(image: Image.Image) -> "NDArray[np.uint8]":
    """Mode L, or F about [0, 255] -> uint8; the filter may overshoot both ends."""
    if image.mode == "L":
        return np.asarray(image)
    return np.asarray(image).round().clip(0, 255).astype(np.uint8)


def _save(path: Path, images: "NDArray[np.uint8]") -> str:
    """Write the array and return the SHA-256 of the file."""
    with path.open("wb") as file:  # as np.save does, whose error on a full disk gives no reason
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(images))
        file.write(images.data)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(
    source: Source,
    size: int,
    fit: Fit,
    seed: int,
    digest: str,
    entries: list[ImageEntry],
    rejected: list[RejectedEntry],
    duplicates: list[DuplicateEntry],
) -> Manifest:
    counts: dict[str, Counter[str]] = {}
    patients: dict[str, set[str]] = {}
    for entry in entries:
        split = entry["split"]
        counts.setdefault(split, Counter())[entry["label"] or UNLABELLED] += 1
        patients.setdefault(split, set()).update([entry["patient"]] if entry["patient"] else [])
    return Manifest(
        format=FORMAT,
        name=source.name,
        size=size,
        fit=fit,
        seed=seed,
        classes=sorted({entry["label"] for entry in entries if entry["label"]}),
        images_sha256=digest,
        counts={split: dict(count) for split, count in counts.items()},
        num_patients={split: len(names) for split, names in patients.items()},
        patient_overlap=[
            OverlapEntry(splits=[one, other], patients=sorted(patients[one] & patients[other]))
            for one, other in combinations(patients, 2)
            if patients[one] & patients[other]
        ],
        license=source.license,
        citation=source.citation,
        rejected=sorted(rejected, key=lambda item: item["origin"]),
        duplicates=duplicates,
        images=entries,
    )


def _nothing_usable(source: str, rejected: list[RejectedEntry], paths: dict[str, str]) -> str:
    """`paths` are the real ones of hidden files: the error is for the one who has them."""
    if not rejected:
        return f"{source} contains no image; give a folder with JPEG or PNG files"
    first = "; ".join(f"{paths.get(item['origin'], item['origin'])}: {item['reason']}" for item in rejected[:3])
    return f"{source} contains no usable image among {len(rejected)} files; the first problems are {first}"


def _warn_if_few(manifest: Manifest) -> None:
    num = sum(manifest["counts"].get("train", {}).values())
    if num < FEW_IMAGES:
        warn(f"Only {num} training images: training needs at least one batch, and a good generator needs thousands.")
