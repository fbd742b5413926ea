"""Reads a dataset folder, and says which images a step sees: a pure function of seed, step and rank."""

import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cxrgan.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = 1


@dataclass(frozen=True, eq=False)
class Dataset:
    """One split of a dataset folder."""

    images: "NDArray[np.uint8]"
    """(N, M, M) uint8 in [0, 255]."""
    labels: "NDArray[np.int64]"
    """(N,), an index into `classes`; -1 where an image has no label."""
    classes: tuple[str, ...]
    name: str
    split: str
    sha256: str
    """Of the folder's images.npy: names the data, wherever the folder lies."""

    @property
    def image_size(self) -> int:
        return int(self.images.shape[1])


def load_dataset(path: Path, split: str = "train") -> Dataset:
    """Read the images of `split` from a folder made by `cxrgan prepare`; UserError when it is not one, or damaged."""
    manifest = read_manifest(path)
    try:
        return _read_split(path, manifest, split)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"the dataset folder {path} is damaged ({error!r}); prepare it again") from error


def load_held_out(path: Path) -> Dataset | None:
    """The larger of `val` and `test`, which no training sees (Kaggle's `val` has 16 images); None without either."""
    counts = read_manifest(path).get("counts", {})
    sizes = {split: sum(counts[split].values()) for split in ("val", "test") if split in counts}
    return load_dataset(path, max(sizes, key=sizes.__getitem__)) if sizes else None


def _read_split(path: Path, manifest: dict[str, Any], split: str) -> Dataset:
    file = path / "images.npy"
    with file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    if sha256 != manifest["images_sha256"]:
        raise UserError(f"{file} is not the file its manifest describes; prepare the dataset again")
    images = np.load(file, mmap_mode="r", allow_pickle=False)
    classes = tuple(manifest["classes"])
    rows = [row for row, image in enumerate(manifest["images"]) if image["split"] == split]
    labels = [manifest["images"][row]["label"] for row in rows]
    if not rows:
        found = ", ".join(manifest["counts"])
        raise UserError(f"{path} has no images in the split {split!r}; its splits are {found}")
    return Dataset(
        images=np.asarray(images[rows]),
        labels=np.array([classes.index(label) if label is not None else -1 for label in labels]),
        classes=classes,
        name=manifest["name"],
        split=split,
        sha256=sha256,
    )


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest.json of a dataset folder."""
    try:
        manifest: dict[str, Any] = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is no dataset folder; make one with: cxrgan prepare SOURCE --out {path}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path / 'manifest.json'}: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise UserError(f"{path / 'manifest.json'} is not of format {FORMAT}; prepare the dataset again")
    return manifest


def batch_indices(
    step: int, *, num_images: int, batch_size: int, seed: int, rank: int = 0, world_size: int = 1
) -> "NDArray[np.int64]":
    """Which images the process `rank` sees at `step` (from 0): (batch_size,) int64.

    The steps of all ranks read one endless stream, shuffled epoch after epoch, so that each image is seen
    once an epoch whatever the batch size, and a resumed run goes on where it was with nothing to restore.
    """
    first = (step * world_size + rank) * batch_size
    positions = np.arange(first, first + batch_size)
    epochs, offsets = positions // num_images, positions % num_images
    orders = {epoch: _order(int(epoch), num_images, seed) for epoch in np.unique(epochs)}
    return np.array([orders[epoch][offset] for epoch, offset in zip(epochs, offsets, strict=True)])


@functools.lru_cache(maxsize=4)
def _order(epoch: int, num_images: int, seed: int) -> "NDArray[np.int64]":
    return np.random.default_rng([seed, epoch]).permutation(num_images)
