"""Reads a dataset folder, and decides which images a step sees: a pure function of seed and step."""

import functools
import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cxrgan.data.images_file import map_images
from cxrgan.errors import UserError
from cxrgan.fields import read_json
from cxrgan.images import IMAGE_SIZES
from cxrgan.lines import pasted

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = 1
SPLITS = ("train", "val", "test")
MAX_MANIFEST_BYTES = 2**28  # a million images have about 200 MB
MEND = "prepare the dataset again"


@dataclass(frozen=True)
class Entry:
    """What manifest.json says of a row of images.npy."""

    split: str
    label: str | None
    patient: str | None
    origin: str


@dataclass(frozen=True)
class Manifest:
    """What manifest.json says of a dataset folder, checked."""

    name: str
    size: int
    """Pixels a side."""
    classes: tuple[str, ...]
    images_sha256: str
    """Of the file images.npy."""
    license: str | None
    citation: str | None
    images: tuple[Entry, ...]
    """Entry i is of row i."""

    @property
    def identity(self) -> str:
        """`Dataset.identity`, in hexadecimal."""
        images = [[image.split, image.label, image.patient] for image in self.images]
        content = json.dumps([self.images_sha256, self.classes, images])
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def terms(self) -> str:
        """`Dataset.licence`."""
        return f"images under {self.license}; keep this attribution: {self.citation}" if self.license else ""


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """One split of a dataset folder."""

    path: Path
    """The dataset folder."""
    images: "NDArray[np.uint8]"
    """(N, M, M) uint8 in [0, 255], read only: a memory map, of which an image is read when it is looked at."""
    labels: "NDArray[np.int64]"
    """(N,), an index into `classes`; -1 where an image has no label."""
    classes: tuple[str, ...]
    name: str
    split: str
    sha256: str
    """Of the folder's images.npy: names the pixels, wherever the folder lies."""
    identity: str
    """SHA-256 of all that a run learns from: the pixels, and the split, label and patient of every image."""
    licence: str = ""
    """That of the images, and whom to name, such as `images under CC BY 4.0; keep ...`; empty where it is not known."""

    @property
    def image_size(self) -> int:
        """M, pixels a side."""
        return int(self.images.shape[1])

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        counts = np.bincount(self.labels[self.labels >= 0], minlength=len(self.classes))
        classes = "".join(f", {count:,} {name}" for name, count in zip(self.classes, counts, strict=True))
        size = self.image_size
        return f"Dataset({self.name}, {self.split}: {len(self):,} images of {size} x {size} pixels{classes})"


def load_dataset(path: str | Path, split: str = "train") -> Dataset:
    """Read the images of `split` from a folder made by `cxrgan prepare`; UserError when it is not one, or damaged."""
    path = Path(path)
    manifest = read_manifest(path)
    rows = [row for row, image in enumerate(manifest.images) if image.split == split]
    if not rows:
        found = ", ".join(dict.fromkeys(image.split for image in manifest.images)) or "none"
        raise UserError(f"{path} has no images in the split {split!r}; its splits are {found}")
    images = map_images(path, len(manifest.images), manifest.size, manifest.images_sha256, mend=MEND)
    places = {None: -1} | {name: place for place, name in enumerate(manifest.classes)}
    return Dataset(
        path=path,
        images=_of_rows(images, rows),
        labels=np.array([places[manifest.images[row].label] for row in rows]),
        classes=manifest.classes,
        name=manifest.name,
        split=split,
        sha256=manifest.images_sha256,
        identity=manifest.identity,
        licence=manifest.terms,
    )


def _of_rows(images: "NDArray[np.uint8]", rows: list[int]) -> "NDArray[np.uint8]":
    """The rows of a split, which follow each other where `prepare` wrote them, and are then not copied."""
    first, last = rows[0], rows[-1]
    return images[first : last + 1] if rows == list(range(first, last + 1)) else images[rows]


def load_held_out(path: Path) -> Dataset | None:
    """The larger of `val` and `test`, which no training sees (Kaggle's `val` has 16 images); None without either."""
    sizes = Counter(image.split for image in read_manifest(path).images if image.split != "train")
    return load_dataset(path, max(("val", "test"), key=sizes.__getitem__)) if sizes else None


def read_manifest(path: Path) -> Manifest:
    """The manifest.json of a dataset folder; UserError where it lacks something or says what cannot be."""
    file = path / "manifest.json"
    try:
        table = read_json(file, mend=MEND, most=MAX_MANIFEST_BYTES)
    except FileNotFoundError:
        source, out = (path, f"{path}-64") if path.exists() else ("SOURCE", path)  # never over the source
        how = pasted("prepare", source, "--out", out, "--size", 64)
        raise UserError(f"{path} is not a dataset folder; make one with: {how}") from None
    if table.values.get("format") != FORMAT:
        raise UserError(f"{file} is not of format {FORMAT}; {MEND}")
    classes = tuple(table.names("classes"))
    entries = []
    for image in table.tables("images"):
        label = None if image.values.get("label") is None else image.one_of("label", classes)
        split, patient = image.one_of("split", SPLITS), image.optional_text("patient")
        entries.append(Entry(split, label, patient, image.text("origin")))
    return Manifest(
        name=table.text("name"),
        size=table.whole("size", IMAGE_SIZES.start, IMAGE_SIZES.stop - 1),
        classes=classes,
        images_sha256=table.text("images_sha256"),
        license=table.optional_text("license"),
        citation=table.optional_text("citation"),
        images=tuple(entries),
    )


def batch_indices(step: int, *, num_images: int, batch_size: int, seed: int) -> "NDArray[np.int64]":
    """Which images `step` (from 0) sees: (batch_size,) int64.

    The steps read one endless stream, shuffled epoch after epoch, so that each image is seen once an epoch whatever
    the batch size, and a resumed run goes on where it was with nothing to restore.
    """
    first = step * batch_size
    positions = np.arange(first, first + batch_size)
    epochs, offsets = positions // num_images, positions % num_images
    orders = {epoch: _order(int(epoch), num_images, seed) for epoch in np.unique(epochs)}
    return np.array([orders[epoch][offset] for epoch, offset in zip(epochs, offsets, strict=True)])


@functools.lru_cache(maxsize=4)
def _order(epoch: int, num_images: int, seed: int) -> "NDArray[np.int64]":
    return np.random.default_rng([seed, epoch]).permutation(num_images)
