"""What `cxrgan audit` does: whether the images of a generator or a folder give training images away.

Each image is searched for a copy, exact, whole or in part; how strong the evidence must be is learnt from held-out
images of other patients, so that as many of them would be taken for copies with a probability of `FALSE_ALARM` in all.
What such a search is worth is measured: copies are planted among the images, and those that are found are counted.
"""

import hashlib
import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from cxrgan.data.dataset import load_held_out, read_manifest
from cxrgan.errors import UserError
from cxrgan.evaluation.chance import Interval, tail_threshold, wilson
from cxrgan.evaluation.copies import MIRRORED, PATCHES, WHOLE, Matches, Window, find_copies, patient_codes
from cxrgan.evaluation.features import cache_folder, extract
from cxrgan.evaluation.nearness import Nearness, Side, nearness
from cxrgan.evaluation.planted import KINDS, plant
from cxrgan.evaluation.rulers.domain import load_domain
from cxrgan.evaluation.sets import (
    ImageSet,
    dataset_set,
    folder_set,
    image_size,
    is_generator,
    is_reference,
    is_run,
    open_pair,
)
from cxrgan.images import grid, save_png
from cxrgan.runs.folder import RunFolder

if TYPE_CHECKING:
    from numpy.typing import NDArray

FALSE_ALARM = 0.01  # probability that an audit finds copies in as many real images of other patients
NUM_PLANTED = 50  # copies of each kind
NUM_PAIRS = 16
MIN_HELD_OUT = 50
MIN_TRAIN = 2
SEARCHES = {"whole image": WHOLE, "mirror image": MIRRORED, "part of an image": PATCHES}
NOTE = "Real patients beside synthetic images. Not to be shared."


@dataclass(frozen=True)
class Search:
    """One way of looking for copies, and what it found."""

    name: str
    threshold: float
    """Evidence, log of D / d (`copies`), beyond which an image is taken for a copy."""
    found: int
    found_held_out: int
    """Held-out images beyond it."""
    highest: float
    """Evidence of all images."""
    highest_held_out: float


@dataclass(frozen=True)
class Planted:
    """How many copies of a kind were found of those that were planted."""

    kind: str
    num: int
    found: int
    interval: Interval
    """Of the share that is found, Wilson's, 95 %."""
    needed: int | None
    """Copies among the images of which one at least is found with 95 %, if the share is at the interval's low end; None
    where none may be found."""


@dataclass(frozen=True)
class Pair:
    """An image and the training image that it is most like, the strongest evidence first."""

    image: str
    train: str
    search: str
    evidence: float
    correlation: float
    row: float
    """Of the middle of the part, and below, its column; shares of the side."""
    column: float
    copy: bool


@dataclass(frozen=True, eq=False, repr=False)
class Audit:
    """What an audit found, as audit.json keeps it."""

    target: str
    data: str
    held_out: str
    n: int
    n_train: int
    n_held_out: int
    seed: int
    copies: int
    """Images that are taken for copies, by any search or by equal pixels; with more than none, the audit fails."""
    copies_interval: Interval
    """Of their share, Wilson's, 95 %."""
    exact: int
    """Images whose every pixel is that of a training image."""
    false_alarm: float
    searches: Sequence[Search]
    planted: Sequence[Planted]
    features: str
    nearness: Sequence[Nearness]
    """By the network `features`: of the generated, the held-out and the training images."""
    chance: Interval
    """Which share is "too near" by chance, 95 %."""
    pairs: Sequence[Pair]

    @property
    def found(self) -> bool:
        """Whether there are copies."""
        return self.copies > 0

    def __repr__(self) -> str:
        return f"Audit({self.target}: {self.copies} copies in {self.n:,} images, of {self.n_train:,} of {self.data})"


def audit(
    target: Path,
    data: Path,
    *,
    held_out: Path | None = None,
    num: int | None = None,
    seed: int = 0,
    best: bool = False,
    pairs: Path | None = None,
) -> Audit:
    """Look in the images of `target` for copies of the training images of `data`.

    The arguments are those of `cxrgan audit`.
    """
    if is_reference(data):
        raise UserError(f"{data} has no images, only features; an audit needs the training images: --data DIR")
    _check_trained_on(target, data)
    unseen = _held_out(data, held_out)
    train, images = open_pair(
        target, data, num=num or (unseen.num if is_generator(target) else None), split="train", seed=seed, best=best
    )
    _check(train, unseen)
    result, shown = examine(images, train, unseen, seed=seed)
    if pairs:
        save_png(pairs, grid(shown, columns=8), note=NOTE)
    return result


def check_pairs_file(file: Path) -> None:
    """UserError unless `file` is a .png that is new, or an earlier picture of pairs."""
    if file.suffix.lower() != ".png" or file.is_dir():
        raise UserError(f"--pairs {file} is not a .png file; give one such as audit-pairs.png")
    if os.path.lexists(file) and not _shows_pairs(file):
        raise UserError(f"--pairs {file} is no picture of pairs; it is not overwritten, give another file")


def _shows_pairs(file: Path) -> bool:
    if not file.is_file():  # to open a FIFO is to wait
        return False
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(file) as picture:  # of one that claims to be huge
            return bool(picture.info.get("Description") == NOTE)
    except Exception:  # Pillow's readers raise about every type there is on damaged files
        return False


def examine(images: ImageSet, train: ImageSet, held_out: ImageSet, *, seed: int) -> "tuple[Audit, NDArray[np.uint8]]":
    """The audit of three sets of images of one size, and its pairs: (2 x pairs, M, M) uint8, each with its original."""
    searches = Searches(train, held_out, images.num)
    found = [searches.look(images.images, window) for window in SEARCHES.values()]
    is_exact = searches.is_exact(images.images)
    is_copy = is_exact | searches.is_beyond(found)
    network = load_domain()
    features = [
        extract(network, each.images, cache=cache_folder())[network.main_tap] for each in (images, train, held_out)
    ]
    fake, real, unseen = (
        Side(values, each.labels) for values, each in zip(features, (images, train, held_out), strict=True)
    )
    groups, chance = nearness(fake=fake, train=real, held_out=unseen, patients=searches.patients, seed=seed)
    pairs, shown = _pairs(images, train, found, searches, is_copy)
    return Audit(
        target=images.name,
        data=train.name,
        held_out=_named(held_out),
        n=images.num,
        n_train=train.num,
        n_held_out=held_out.num,
        seed=seed,
        copies=int(is_copy.sum()),
        copies_interval=wilson(int(is_copy.sum()), images.num),
        exact=int(is_exact.sum()),
        false_alarm=FALSE_ALARM,
        searches=searches.summary(found),
        planted=searches.power(images.images, seed),
        features=network.name,
        nearness=groups,
        chance=chance,
        pairs=pairs,
    ), shown


class Searches:
    """The searches for copies of one set of training images.

    `of_held_out` has the evidence in held-out images for each search, `thresholds` what follows for an audit.
    """

    def __init__(self, train: ImageSet, held_out: ImageSet, num: int) -> None:
        """For an audit of `num` images."""
        self.train = train.images
        self.patients = patient_codes(train.patients)
        self._pixels = _digests(train.images)
        self.of_held_out = [self.look(held_out.images, window).evidence for window in SEARCHES.values()]
        each = FALSE_ALARM / len(SEARCHES) / num
        self.thresholds = [tail_threshold(evidence, each) for evidence in self.of_held_out]

    def look(self, images: "NDArray[np.uint8]", window: Window) -> Matches:
        """The strongest evidence in each of (N, M, M) images."""
        title = next(name for name, each in SEARCHES.items() if each == window)
        return find_copies(images, self.train, self.patients, window, title=f"comparing, {title}")

    def is_exact(self, images: "NDArray[np.uint8]") -> "NDArray[np.bool_]":
        """(N,) whether all pixels are those of a training image."""
        return np.array([_digest(image) in self._pixels for image in images])

    def is_beyond(self, found: Sequence[Matches]) -> "NDArray[np.bool_]":
        """(N,) whether the evidence of any search is beyond its threshold."""
        beyond = [each.evidence > limit for each, limit in zip(found, self.thresholds, strict=True)]
        return np.asarray(np.any(beyond, axis=0))

    def is_copy(self, images: "NDArray[np.uint8]") -> "NDArray[np.bool_]":
        """(N,) whether an image is taken for a copy."""
        return self.is_exact(images) | self.is_beyond([self.look(images, window) for window in SEARCHES.values()])

    def summary(self, found: Sequence[Matches]) -> list[Search]:
        """What each search found."""
        return [
            Search(
                name=name,
                threshold=limit,
                found=int((each.evidence > limit).sum()),
                found_held_out=int((unseen > limit).sum()),
                highest=float(each.evidence.max()),
                highest_held_out=float(unseen.max()),
            )
            for name, limit, each, unseen in zip(SEARCHES, self.thresholds, found, self.of_held_out, strict=True)
        ]

    def power(self, images: "NDArray[np.uint8]", seed: int) -> list[Planted]:
        """Copies of every kind, planted among `images`, and how many of them are found."""
        random = np.random.default_rng(seed)
        made = []
        for kind in KINDS.values():
            into = images[random.integers(len(images), size=NUM_PLANTED)]
            made.append(plant(kind, into, self.train[random.integers(len(self.train), size=NUM_PLANTED)], random))
        caught = self.is_copy(np.concatenate(made)).reshape(len(KINDS), NUM_PLANTED).sum(1)
        return [_planted(kind, int(found)) for kind, found in zip(KINDS, caught, strict=True)]


def _planted(kind: str, found: int) -> Planted:
    interval = wilson(found, NUM_PLANTED)
    needed = math.ceil(math.log(0.05) / math.log1p(-interval.low)) if found else None
    return Planted(kind, NUM_PLANTED, found, interval, needed)


def _pairs(
    images: ImageSet,
    train: ImageSet,
    found: Sequence[Matches],
    searches: Searches,
    is_copy: "NDArray[np.bool_]",
) -> "tuple[list[Pair], NDArray[np.uint8]]":
    """The images with the strongest evidence relative to its threshold, copies first."""
    relative = np.stack([each.evidence / limit for each, limit in zip(found, searches.thresholds, strict=True)])
    by, names = relative.argmax(0), list(SEARCHES)
    order = np.lexsort((-relative.max(0), ~is_copy))[:NUM_PAIRS]
    pairs, shown = [], []
    for index in order:
        match = found[by[index]]
        row, column = match.centre[index]
        pairs.append(
            Pair(
                image=images.origins[index],
                train=train.origins[match.train[index]],
                search=names[by[index]],
                evidence=float(match.evidence[index]),
                correlation=float(match.correlation[index]),
                row=float(row),
                column=float(column),
                copy=bool(is_copy[index]),
            )
        )
        shown += [images.images[index], train.images[match.train[index]]]
    return pairs, np.stack(shown)


def _held_out(data: Path, given: Path | None) -> ImageSet:
    """Real images that no training saw: of a split of `data`, or all that are in the folder `given`."""
    size = image_size(data)
    if given is None:
        unseen = load_held_out(data) if size else None
        if unseen is None:
            raise UserError(f"{data} has no split val or test; give real images of other patients with --held-out DIR")
        return dataset_set(data, unseen.split)
    if not given.is_dir():
        raise UserError(f"--held-out {given} is not a folder; give real images of other patients")
    if size and (own := image_size(given)):
        if own != size:
            raise UserError(f"{given} has {own}-pixel images, {data} has {size}; prepare it with --size {size}")
        unseen = load_held_out(given)
        return dataset_set(given, unseen.split if unseen else "train")
    if not size:
        raise UserError(f"{data} is not a dataset folder; make one of the training images with cxrgan prepare")
    return folder_set(given, size)


def _check_trained_on(target: Path, data: Path) -> None:
    """UserError for a run whose training images are others: an audit against these would clear it of nothing."""
    if is_run(target) and image_size(data):
        manifest = read_manifest(data)
        differs = RunFolder(target).read_info().other_data(sha256=manifest.images_sha256, identity=manifest.identity)
        if differs == "images":
            raise UserError(f"{target} was not trained on the images of {data}; give its own dataset with --data DIR")


def _check(train: ImageSet, held_out: ImageSet) -> None:
    """UserError where the held-out images cannot say what chance does."""
    name = _named(held_out)
    shared = {patient for patient in held_out.patients if patient is not None} & set(train.patients)
    if shared:
        some = ", ".join(sorted(shared)[:3])
        raise UserError(f"{len(shared)} patients are in the training images and in {name}: {some}; hold out others")
    pixels = _digests(train.images)
    same = sum(_digest(image) in pixels for image in held_out.images)
    if same:
        raise UserError(f"{same} images of {name} are training images too; hold out images of other patients")
    if held_out.num < MIN_HELD_OUT or train.num < MIN_TRAIN:
        raise UserError(
            f"{name} has {held_out.num} images and the training split {train.num}; an audit needs at least "
            f"{MIN_HELD_OUT} held-out and {MIN_TRAIN} training images: give more with --held-out DIR"
        )


def _digests(images: "NDArray[np.uint8]") -> set[bytes]:
    """What tells whether an image is among these, without them in memory."""
    return {_digest(image) for image in images}


def _digest(image: "NDArray[np.uint8]") -> bytes:
    return hashlib.sha256(image.tobytes()).digest()


def _named(held_out: ImageSet) -> str:
    return held_out.name + (f" ({held_out.split})" if held_out.split else "")
