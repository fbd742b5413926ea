"""Any source -> one dataset folder: `images.npy` (N, H, W) uint8 and `manifest.json`; entry i describes row i.

Bad input is left out with the reason, byte-identical copies are left out, and each patient stays in one split.
"""

import contextlib
import hashlib
import os
import shutil
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
from PIL import Image

from cxrgan.console import note, track, warn
from cxrgan.data.dataset import SPLITS
from cxrgan.data.decode import Unusable, decode, made_grey, read_image
from cxrgan.data.images_file import write_images
from cxrgan.data.manifest import Facts, ImageEntry, Ledger, Manifest, RejectedEntry
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

    from cxrgan.data.manifest import Outcome

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}  # of a split made here
FEW_IMAGES = 64  # a usual batch
ENTRY_BYTES = 1000  # of an image beside its pixels: its entry in the manifest, in memory and on the disk
NUM_SHOWN = 5  # reasons, and rejected files of each, that are named
AHEAD = 8  # images of each core that are decoded before they are taken


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
    listing = list_source(source, out, size, fit, seed, num, labels=labels, patient_key=patient_key)
    check_room(len(listing.records), size, out)
    with making(out) as folder:
        ledger = Ledger()
        digest = write_images(folder, ledger.keep(outcomes(listing, listing.records)), size)
        ledger.rejected += listing.rejected
        if not ledger.images:
            raise UserError(nothing_usable(source, ledger.rejected, listing.paths))
        say_which(ledger.rejected, listing.paths)
        manifest = ledger.manifest(listing.facts, digest)
        write_json(folder / "manifest.json", manifest)
    warn_if_few(manifest)
    return manifest


@dataclass(frozen=True)
class Listing:
    """All that becomes a dataset, before anything is decoded."""

    facts: Facts
    records: list[Record]
    """Each with its split, in the order of the rows to be."""
    rejected: list[RejectedEntry]
    """What the source itself refuses."""
    paths: dict[str, str]
    """Where files have pseudonyms: pseudonym -> path."""


def list_source(
    source: str,
    out: Path,
    size: int,
    fit: Fit,
    seed: int,
    num: int,
    *,
    labels: LabelTable | None,
    patient_key: Path | None,
) -> Listing:
    """What `prepare` will make `out` of; arguments as there, UserError for those that cannot be."""
    check_image_size(size)
    if fit not in get_args(Fit):
        raise UserError(f"fit is {fit}, but must be one of {', '.join(get_args(Fit))}")
    if not 0 <= seed <= MAX_WHOLE:
        raise UserError(f"seed is {shown(seed)}, but must be from 0 to {MAX_WHOLE}")
    check_free(out, "the dataset")
    for leftover in remove_leftovers(out):
        warn(f"removed {leftover}, left over from a prepare that was killed")
    if source == "phantom":
        check_room(num, size, out)
    opened = open_source(source, size=size, seed=seed, num=num, labels=labels)
    if opened.num_synthetic:  # and may be meant to be there
        warn(
            f"{opened.num_synthetic:,} files of {opened.name} say that they are synthetic: what learns from this "
            "dataset, or is measured against it, is not compared with real images alone"
        )
    if opened.is_private:
        records, refused, paths = _hidden(opened, seed, read_pseudonyms(patient_key, out))
    else:
        records, refused, paths = _with_splits(opened.records, seed), list(opened.rejected), {}
    records.sort(key=_order)
    facts = Facts(opened.name, size, fit, seed, opened.license, opened.citation)
    return Listing(facts, records, [RejectedEntry(origin=item.origin, reason=item.reason) for item in refused], paths)


def outcomes(listing: Listing, records: Sequence[Record]) -> "Iterator[Outcome]":
    """Each of these records of the listing, in order, decoded."""
    pixels = track(decode_records(records, listing.facts.size, listing.facts.fit), "Preparing", len(records))
    for record, (digest, result) in zip(records, pixels, strict=True):
        entry = ImageEntry(
            split=record.split or "train",
            label=record.label,
            patient=record.patient,
            origin=record.origin,
            sha256=digest,
        )
        yield entry, result


@contextlib.contextmanager
def making(out: Path) -> Iterator[Path]:
    """An empty folder that becomes `out` where all goes well; RunError where the disk does not take it."""
    try:
        with replacing(out) as folder:
            folder.mkdir()
            yield folder
    except OSError as error:
        raise RunError(f"cannot write {trouble(error)}") from error


def decode_records(
    records: Sequence[Record], size: int, fit: Fit
) -> "Iterator[tuple[str, NDArray[np.uint8] | Unusable]]":
    """For each record, in order: the SHA-256 of its content, and (size, size) uint8 or the reason why not.

    Pillow releases Python's lock while it works. At most one image per core is in memory at full size, and few are
    decoded before they are taken.
    """
    work, ahead = partial(_pixels, size=size, fit=fit), AHEAD * num_cores()
    with warnings.catch_warnings(), ThreadPoolExecutor(num_cores()) as pool:
        warnings.simplefilter("ignore")  # Pillow's, on damaged files: the manifest says what is wrong with them
        waiting = deque(pool.submit(work, record) for record in records[:ahead])
        try:
            for place in range(len(records)):
                yield waiting.popleft().result()
                waiting.extend(pool.submit(work, record) for record in records[place + ahead : place + ahead + 1])
        finally:
            pool.shutdown(cancel_futures=True)


def num_cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_room(num: int, size: int, out: Path) -> None:
    """UserError if `num` images do not fit on the disk of `out`, or their entries into this machine's memory."""
    folder = next(parent for parent in out.absolute().parents if parent.is_dir())
    disk = shutil.disk_usage(folder).free
    room, most = f"disk {disk / 1e9:.1f} GB", disk // (size**2 + ENTRY_BYTES)
    if hasattr(os, "sysconf"):  # not on Windows
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        room, most = f"{room}, memory {memory / 1e9:.1f} GB", min(most, memory // ENTRY_BYTES)
    if num > most:
        raise UserError(
            f"{shown(num)} images of {size} x {size} pixels do not fit on this machine ({room}); "
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


def say_which(rejected: list[RejectedEntry], paths: dict[str, str]) -> None:
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


def nothing_usable(source: str, rejected: list[RejectedEntry], paths: dict[str, str]) -> str:
    """`paths` are the real ones of hidden files: the error is for the one who has them."""
    if not rejected:
        return f"{source} contains no image; give a folder with JPEG or PNG files"
    first = "; ".join(f"{paths.get(item['origin'], item['origin'])}: {item['reason']}" for item in rejected[:3])
    return f"{source} contains no usable image among {len(rejected)} files; the first problems are {first}"


def warn_if_few(manifest: Manifest) -> None:
    num = sum(manifest["counts"].get("train", {}).values())
    if num < FEW_IMAGES:
        warn(f"Only {num} training images: training needs at least one batch, and a good generator needs thousands.")
